/** Changes of flows as messages for one bundle: removals first, then additions. */
import { encodeInstructions } from './openflow/instructions.js';
import { encodeMatch } from './openflow/match.js';
import { encodeFlowMod } from './openflow/flow-mod.js';
import type { OpenFlowVersion } from './openflow/constants.js';
import { instructions, matchFields, type Flow, type FlowSink } from './pipeline/flow.js';
import { placed, wireTable, type Placement } from './pipeline/placement.js';

export class FlowBundle implements FlowSink {
  private readonly removals: Uint8Array[] = [];
  private readonly additions: Uint8Array[] = [];

  constructor(private readonly version: OpenFlowVersion, private readonly place: Placement) {}

  get size(): number {
    return this.removals.length + this.additions.length;
  }

  add(wanted: Flow): void {
    const flow = placed(wanted, this.place);
    this.additions.push(encodeFlowMod({
      command: 'add', table: flow.table, priority: flow.priority, cookie: flow.cookie,
      match: encodeMatch(matchFields(flow.match), this.version), instructions: encodeInstructions(instructions(flow.actions), this.version),
    }, this.version));
  }

  remove(flow: Flow): void {
    this.removals.push(encodeFlowMod({
      command: 'delete_strict', table: wireTable(flow.table, this.place), priority: flow.priority, match: encodeMatch(matchFields(flow.match), this.version),
    }, this.version));
  }

  messages(): readonly Uint8Array[] {
    return [...this.removals, ...this.additions];
  }
}
