/** Verdicts of label ids: elements of the act maps, and the log chains that some of them go through. */
import type { LabelInfo } from '../../compile/compiled.js';
import type { AttributeWriter } from './attributes.js';
import { CHAIN } from './base-layout.js';
import type { Dialect } from './dialect.js';
import { counter, drop, goTo, limit, log, returns, verdictElementData, type Expression } from './expressions.js';
import { rule, userComment, type ChainImage, type SetImage, type TableName } from './image.js';
import { FLAG, MESSAGE, VERDICT } from './kernel.js';

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

/** Action codes of region data. Rules that log have a code of their own: their label id (16 bits set; these have fewer). */
export const ACTION = { accept: 1, drop: 2, reject: 3, stateless: 4 } as const;

export function actionCode(label: LabelInfo): number {
  return label.log ? label.id : plainCode(label);
}

function plainCode(label: LabelInfo): number {
  if (label.action !== 'accept') return ACTION[label.action];
  return label.stateless ? ACTION.stateless : ACTION.accept;
}

/** Accepting is RETURN: the other side's filter may still object. */
export const CODE_VERDICTS: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  [ACTION.accept, { code: VERDICT.return }],
  [ACTION.drop, { code: VERDICT.drop }],
  [ACTION.reject, { code: VERDICT.goto, chain: CHAIN.reject }],
  [ACTION.stateless, { code: VERDICT.goto, chain: CHAIN.stateless }],
]);
/** When a packet is judged by its own headers, stateless rules just accept. */
export const PACKET_CODE_VERDICTS: ReadonlyMap<number, Verdict> = new Map([...CODE_VERDICTS, [ACTION.stateless, { code: VERDICT.return }]]);

/** Verdicts of a rule that logs, by mode; undefined for others. */
export function logVerdicts(label: LabelInfo): { readonly connection: Verdict; readonly packet: Verdict } | undefined {
  if (!label.log) return undefined;
  const logged = { code: VERDICT.goto, chain: logChain(label) };
  return { connection: logged, packet: label.action === 'accept' && label.stateless ? { code: VERDICT.return } : logged };
}

function finalVerdict(label: LabelInfo): Verdict {
  return CODE_VERDICTS.get(plainCode(label)) ?? { code: VERDICT.drop };
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

export function logChainImage(dialect: Dialect, label: LabelInfo, group: number): ChainImage {
  // An accepted connection is logged once, at its first packet; what is refused, packet by packet.
  const first: readonly Expression[] = label.action === 'accept' ? dialect.firstPacket : [];
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
}

export interface CommentedElement {
  readonly key: Uint8Array;
  readonly comment: string;
}

/** Adds elements of a verdict map, in messages below the 64 kB nesting limit. */
export function addVerdicts(writer: AttributeWriter, table: TableName, set: SetImage, elements: readonly VerdictElement[]): void {
  inMessages(writer, MESSAGE.newElements, FLAG.request | FLAG.create, table, set, elements, (element) => {
    writer.nest(1, () => {
      writer.nest(1, () => writer.data(1, element.key));
      verdictElementData(writer, element.verdict.code, element.verdict.chain);
    });
  });
}

/** Adds elements of a plain set that carry a comment. */
export function addCommented(writer: AttributeWriter, table: TableName, set: SetImage, elements: readonly CommentedElement[]): void {
  inMessages(writer, MESSAGE.newElements, FLAG.request | FLAG.create, table, set, elements, (element) => {
    writer.nest(1, () => {
      writer.nest(1, () => writer.data(1, element.key));
      writer.data(6, userComment(element.comment, 120));
    });
  });
}

export function removeElements(writer: AttributeWriter, table: TableName, set: SetImage, elements: readonly { readonly key: Uint8Array }[]): void {
  inMessages(writer, MESSAGE.deleteElements, FLAG.request, table, set, elements, (element) => {
    writer.nest(1, () => writer.nest(1, () => writer.data(1, element.key)));
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
