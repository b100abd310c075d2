/** Verdicts of label ids: elements of the act maps, and the log chains that some of them go through. */
import type { LabelInfo } from '../../compile/table.js';
import type { AttributeWriter } from './attributes.js';
import { CHAIN } from './base-layout.js';
import {
  big32, ct, counter, drop, goTo, host32, limit, log, mask, notEqual, returns, verdictElementData, type Expression,
} from './expressions.js';
import { rule, userComment, type ChainImage, type SetImage, type TableName } from './image.js';
import { CT, CT_STATE, FLAG, MESSAGE, VERDICT } from './kernel.js';

export interface Verdict {
  readonly code: number;
  readonly chain?: string;
}

/** A flood must not reach user space: above this the kernel stops logging a rule; the agent limits further, and counts. */
const KERNEL_LOG_RATE = 1000;
const KERNEL_LOG_BURST = 2000;
/** Enough of a packet for every header the audit log shows. */
export const LOG_SNAP_LENGTH = 256;

export function logChain(label: LabelInfo): string {
  return `log_${label.id.toString(16).padStart(8, '0')}`;
}

/** Verdict in the connection stages. Accepting is RETURN: the other side's filter may still object. */
export function actVerdict(label: LabelInfo): Verdict {
  if (label.log) return { code: VERDICT.goto, chain: logChain(label) };
  return finalVerdict(label);
}

/** Verdict when a packet is judged by its own headers. Stateless rules just accept here, in whatever direction. */
export function packetVerdict(label: LabelInfo): Verdict {
  if (label.action === 'accept' && label.stateless) return { code: VERDICT.return };
  return actVerdict(label);
}

function finalVerdict(label: LabelInfo): Verdict {
  if (label.action === 'drop') return { code: VERDICT.drop };
  if (label.action === 'reject') return { code: VERDICT.goto, chain: CHAIN.reject };
  if (label.stateless) return { code: VERDICT.goto, chain: label.side === 'in' ? CHAIN.statelessIn : CHAIN.statelessOut };
  return { code: VERDICT.return };
}

export interface LogPrefix {
  readonly labelId: number;
}

/** `dfw <label id> ...`: the id says everything; the rest is for people who watch NFLOG with other tools. */
export function logPrefix(label: LabelInfo): string {
  const id = label.id.toString(16).padStart(8, '0');
  return new TextDecoder().decode(new TextEncoder().encode(`dfw ${id} ${label.side} ${label.action} ${label.table}/${label.ruleId}`).subarray(0, 126));
}

export function parseLogPrefix(prefix: string): LogPrefix | undefined {
  const match = /^dfw ([0-9a-f]{8}) /.exec(prefix);
  return match?.[1] === undefined ? undefined : { labelId: Number.parseInt(match[1], 16) };
}

export function logChainImage(label: LabelInfo, group: number): ChainImage {
  // An accepted connection is logged once, at its first packet; what is refused, packet by packet.
  const first: readonly Expression[] = label.action === 'accept'
    ? [ct(CT.state, 0), mask(0, host32(CT_STATE.new | CT_STATE.untracked)), notEqual(0, big32(0))]
    : [];
  const end = finalVerdict(label);
  return {
    name: logChain(label),
    rules: [
      rule(`log of ${label.table}/${label.ruleId}, all`, ...first, counter),
      rule(`log of ${label.table}/${label.ruleId}, sent`, ...first, limit(KERNEL_LOG_RATE, KERNEL_LOG_BURST), log(group, logPrefix(label), LOG_SNAP_LENGTH), counter),
      rule('verdict', end.chain !== undefined ? goTo(end.chain) : end.code === VERDICT.drop ? drop : returns),
    ],
  };
}

export interface VerdictElement {
  readonly key: Uint8Array;
  readonly verdict: Verdict;
  readonly comment?: string;
  /** Last address of the interval that begins at the key, plus one; interval maps only. */
  readonly end?: Uint8Array;
}

/** Adds elements of a verdict map, in messages below the 64 kB nesting limit. */
export function addVerdicts(writer: AttributeWriter, { family, table }: TableName, set: SetImage, elements: readonly VerdictElement[]): void {
  inMessages(writer, MESSAGE.newElements, FLAG.request | FLAG.create, { family, table }, set, elements, (element) => {
    writer.nest(1, () => {
      writer.nest(1, () => writer.data(1, element.key));
      verdictElementData(writer, element.verdict.code, element.verdict.chain);
      if (element.comment !== undefined) writer.data(6, userComment(element.comment, 120));
    });
    if (element.end !== undefined) addEnd(writer, element.end);
  });
}

export function removeVerdicts(writer: AttributeWriter, { family, table }: TableName, set: SetImage, elements: readonly Pick<VerdictElement, 'key' | 'end'>[]): void {
  inMessages(writer, MESSAGE.deleteElements, FLAG.request, { family, table }, set, elements, (element) => {
    writer.nest(1, () => writer.nest(1, () => writer.data(1, element.key)));
    if (element.end !== undefined) addEnd(writer, element.end);
  });
}

function addEnd(writer: AttributeWriter, end: Uint8Array): void {
  writer.nest(1, () => {
    writer.u32(3, 1); // NFT_SET_ELEM_INTERVAL_END
    writer.nest(1, () => writer.data(1, end));
  });
}

function inMessages<T>(
  writer: AttributeWriter, type: number, flags: number, { family, table }: TableName, set: SetImage, elements: readonly T[], put: (element: T) => void,
): void {
  const PER_MESSAGE = 200;
  for (let start = 0; start < elements.length; start += PER_MESSAGE) {
    writer.message(type, flags, family, () => {
      writer.text(1, table).text(2, set.name);
      writer.nest(3, () => elements.slice(start, start + PER_MESSAGE).forEach(put));
    });
  }
}
