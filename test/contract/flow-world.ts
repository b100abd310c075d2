/** A router that labels the connections it forwards, as the datapath does, and a FlowTable in its namespace. */
import { fileURLToPath } from 'node:url';

import type { FlowFormat, FlowQuery, FlowRecord, FlowTable, FlowTableOptions, FlowTableStats, EndedFlow } from '../../src/native/binding.js';
import { inNetns, mustRun } from '../support/command.js';
import { LineProcess } from '../support/probe/line-process.js';

/** Label words as the datapath writes them: 16 bits set. */
export const OUT_RULE = 0x00ff_00ff;
export const IN_RULE = 0x0f0f_0f0f;
export const OTHER_RULE = 0x3333_3333;
export const NOT_APPLICABLE = 0x0000_ffff;
/** The build under test; the one with sanitizers under scripts/build-sanitized run. */
export const ADDON = fileURLToPath(new URL(`../../${process.env['DFW_SANITIZED'] === '1' ? 'build-sanitize' : 'build'}/Release/dfw.node`, import.meta.url));

export interface StreamResult {
  readonly count: number;
  readonly text: string;
  readonly chunks: number;
  readonly largest: number;
  readonly mostWaiting: number;
}
export interface NativeFailure { readonly message: string; readonly code?: string; readonly errno?: number; readonly syscall?: string }
interface Answer<T> { readonly result: T; readonly error?: NativeFailure }

export class NativeCallFailed extends Error {
  constructor(readonly failure: NativeFailure) {
    super(failure.message);
  }
}

export class FlowTableProcess {
  private readonly child: LineProcess;

  constructor(netns: string) {
    const [program, args] = inNetns(netns, process.execPath, [fileURLToPath(new URL('children/flow-table.mjs', import.meta.url))]);
    this.child = new LineProcess(program, args);
  }

  /** Loads the addon and makes the table; start() it by call('start'). */
  async open(options: Partial<FlowTableOptions> = {}): Promise<void> {
    await this.child.start({ addon: ADDON, options: encode({ notApplicableIds: Uint32Array.of(NOT_APPLICABLE), drainIntervalMs: 5, ...options }) });
  }
  async call<T>(method: keyof FlowTable | 'streamFlows' | 'ended' | 'exitDuringStream', ...parameters: readonly unknown[]): Promise<T> {
    const answer = await this.child.request<Answer<T>>({ call: method, arguments: parameters.map(encode) });
    if (answer.error !== undefined) throw new NativeCallFailed(answer.error);
    return answer.result;
  }
  stats(): Promise<FlowTableStats> {
    return this.call('stats');
  }
  query(query: FlowQuery): Promise<FlowRecord[]> {
    return this.call('query', query);
  }
  stream(query: FlowQuery, format: FlowFormat, pace?: { delayMs?: number; failAt?: number }): Promise<StreamResult> {
    return this.call('stream', query, format, pace);
  }
  ended(): Promise<EndedFlow[]> {
    return this.call('ended');
  }
  stop(): Promise<void> {
    return this.child.stop();
  }
}

function encode(value: unknown): unknown {
  if (value instanceof Uint32Array) return { u32: [...value] };
  if (value instanceof Uint8Array) return { u8: [...value] };
  if (value instanceof Float64Array) return { f64: [...value] };
  if (Array.isArray(value)) return value.map(encode);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)]));
}

/** The nft statements that OR an id into a 32-bit word of the label: nft writes labels bit by bit (bit 64 = lowest of word 2). */
export function labelStatements(word: 2 | 3, id: number): string {
  const bits = Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => ((id >>> bit) & 1) === 1);
  return bits.map((bit) => `ct label set ${word * 32 + bit}`).join(' ');
}

/** Accounting, timestamps, events of every connection, and a chain at the forward hook with these rules. */
export async function prepareRouter(netns: string, rules: readonly string[]): Promise<void> {
  const settings = ['acct', 'timestamp', 'events'].map((key) => `net.netfilter.nf_conntrack_${key}=1`);
  await mustRun(...inNetns(netns, 'sysctl', ['-qw', ...settings]));
  await setForwardRules(netns, rules);
}

export async function setForwardRules(netns: string, rules: readonly string[]): Promise<void> {
  const script = ['table inet labels', 'delete table inet labels', 'table inet labels {', ' chain forward {', '  type filter hook forward priority 0', ...rules, ' }', '}', ''];
  await mustRun(...inNetns(netns, 'nft', ['-f', '-']), { input: script.join('\n') });
}

/** Established entries made by ctnetlink, without a packet. */
export async function fillConntrack(netns: string, ...args: readonly string[]): Promise<void> {
  const program = fileURLToPath(new URL('../../bench/children/ct-fill.py', import.meta.url));
  await mustRun(...inNetns(netns, 'python3', [program, ...args]), { timeoutMs: 60_000 });
}
