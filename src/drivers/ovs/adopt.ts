/**
 * What the switch has, compared with what a state wants: how a restarted agent finds that nothing changed, and what to write where
 * something did. Flows are compared as bytes: the switch gives back what it was given.
 */
import type { FlowEntry } from './openflow/flow-stats.js';
import type { OpenFlowVersion } from './openflow/constants.js';
import { encodeFlowMod } from './openflow/flow-mod.js';
import { encodeInstructions } from './openflow/instructions.js';
import { encodeMatch } from './openflow/match.js';
import { instructions, matchFields, type Flow, type FlowSink } from './pipeline/flow.js';
import { placed, wireTable, type Placement } from './pipeline/placement.js';
import { CATEGORY } from './pipeline/stages.js';

interface WantedFlow {
  readonly cookie: bigint;
  readonly instructions: Uint8Array;
  readonly flow: Flow;
}

export interface Difference {
  /** Flows of the switch that nobody wants, as messages that remove them. */
  readonly removals: readonly Uint8Array[];
  /** Wanted flows that are missing or otherwise. */
  readonly missing: readonly Flow[];
  /** Cookies of all that differs. */
  readonly cookies: ReadonlySet<bigint>;
}

const OTHERS: ReadonlySet<number> = new Set([CATEGORY.learned, CATEGORY.replies]);

export class Comparison implements FlowSink {
  private readonly wanted = new Map<string, WantedFlow>();
  private readonly removals: Uint8Array[] = [];
  private readonly cookies = new Set<bigint>();

  constructor(private readonly version: OpenFlowVersion, private readonly place: Placement) {}

  /** A flow that shall be. */
  add(flow: Flow): void {
    const match = encodeMatch(matchFields(flow.match), this.version);
    this.wanted.set(wireKey(flow.table, flow.priority, match), {
      cookie: flow.cookie, instructions: encodeInstructions(instructions(placed(flow, this.place).actions), this.version), flow,
    });
  }

  remove(): void {
    throw new TypeError('a state has no flows to remove');
  }

  /** A flow that is. Those that the switch learned and those of dns-watch.ts are not looked at. */
  seen(entry: FlowEntry): void {
    if (OTHERS.has(category(entry.cookie))) return;
    const at = wireKey(entry.table, entry.priority, entry.match);
    const wanted = this.wanted.get(at);
    if (wanted === undefined) {
      this.cookies.add(entry.cookie);
      this.removals.push(encodeFlowMod({ command: 'delete_strict', table: wireTable(entry.table, this.place), priority: entry.priority, match: Buffer.from(entry.match) }, this.version));
    } else if (wanted.cookie === entry.cookie && equalBytes(wanted.instructions, entry.instructions)) this.wanted.delete(at);
  }

  difference(): Difference {
    const missing = [...this.wanted.values()].map(({ flow }) => flow);
    for (const { cookie } of missing) this.cookies.add(cookie);
    return { removals: this.removals, missing, cookies: this.cookies };
  }
}

export function category(cookie: bigint): number {
  return Number((cookie >> 40n) & 0xffn);
}

export function objectOf(cookie: bigint): number {
  return Number(cookie & 0xffff_ffffn);
}

/** Equal for the same flow only. */
export function wireKey(table: number, priority: number, match: Uint8Array): string {
  return `${table} ${priority} ${Buffer.from(match.buffer, match.byteOffset, match.length).toString('latin1')}`;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
