/** Keeps the flows that show DNS replies right: as many as interfaces are followed, none for none. Reads them before it writes. */
import { encodeFlowMod } from './openflow/flow-mod.js';
import { encodeInstructions } from './openflow/instructions.js';
import { encodeMatch } from './openflow/match.js';
import { encodeMeterMod } from './openflow/meters.js';
import type { SwitchSession } from './driver.js';
import { wireKey } from './adopt.js';
import { gateFlow, GATE_PRIORITY, GATE_SECONDS, REPLY_METER, replyFlows } from './dns-flows.js';
import { FlowBundle } from './flow-bundle.js';
import { instructions, matchFields, type Flow } from './pipeline/flow.js';
import { placed, wireTable } from './pipeline/placement.js';
import { CATEGORY, cookie, COOKIE_MASK, TABLE } from './pipeline/stages.js';

export interface DnsWatchOptions {
  /** Rejects with AgentError, retryable, while there is none. */
  readonly session: () => SwitchSession;
  readonly bridge: string;
  readonly controller: number;
}

const OURS = { cookie: cookie(CATEGORY.replies, 0), cookieMask: COOKIE_MASK | (0xffn << 40n) } as const;

export class DnsWatch {
  readonly object: string;
  private changes = 0;
  private sessions = 0;
  private known: SwitchSession | undefined;

  constructor(private readonly options: DnsWatchOptions) {
    this.object = `bridge ${options.bridge}`;
  }

  /** Another connection may be one to a switch that has forgotten everything, and ports get other numbers. */
  key(interfaces: readonly string[]): string {
    const session = this.options.session();
    if (session !== this.known) this.sessions += 1;
    this.known = session;
    return `${this.sessions} ${interfaces.map((name) => `${name}=${session.ports.get(name)?.number ?? ''}`).join(' ')}`;
  }

  /** True when something was written. Rejects as the session does; the old state then stays. */
  async apply(interfaces: readonly string[]): Promise<boolean> {
    const session = this.options.session();
    const messages = await this.difference(session, interfaces);
    if (messages.length === 0) return false;
    await this.makeMeter(session);
    await session.bundle(messages);
    return true;
  }

  async differs(interfaces: readonly string[]): Promise<boolean> {
    return (await this.difference(this.options.session(), interfaces)).length > 0;
  }

  /** Somebody else changed flows of ours. */
  distrust(): void {
    this.changes += 1;
  }

  generation(): Promise<number> {
    return Promise.resolve(this.changes);
  }

  async hold(interfaces: readonly string[]): Promise<void> {
    const session = this.options.session();
    const gate = gateFlow(this.options.controller);
    const { match, instructions: does } = encoded(gate, session);
    const table = wireTable(gate.table, session.place);
    await session.send(encodeFlowMod(
      interfaces.length === 0
        ? { command: 'delete_strict', table, priority: gate.priority, match }
        : { command: 'add', table, priority: gate.priority, cookie: gate.cookie, hardTimeout: GATE_SECONDS, match, instructions: does },
      session.version,
    ));
  }

  /** They go with all flows of ours. */
  cleanup(): Promise<string[]> {
    return Promise.resolve([]);
  }

  /** Removals, then additions; the gate is nobody's business here. */
  private async difference(session: SwitchSession, interfaces: readonly string[]): Promise<Uint8Array[]> {
    const ports = interfaces.flatMap((name) => session.ports.get(name)?.number ?? []);
    const missing = new Map(replyFlows(ports, this.options.controller).map((flow) => {
      const { match, instructions: does } = encoded(flow, session);
      return [wireKey(flow.table, flow.priority, match), { flow, does }];
    }));
    const removals: Uint8Array[] = [];
    await session.dump(OURS, (entry) => {
      if (entry.table === TABLE.REPLIES && entry.priority === GATE_PRIORITY) return;
      const key = wireKey(entry.table, entry.priority, entry.match);
      const wanted = missing.get(key);
      if (wanted === undefined) removals.push(encodeFlowMod({ command: 'delete_strict', table: wireTable(entry.table, session.place), priority: entry.priority, match: Buffer.from(entry.match) }, session.version));
      else if (wanted.flow.cookie === entry.cookie && Buffer.compare(wanted.does, entry.instructions) === 0) missing.delete(key);
    });
    const bundle = new FlowBundle(session.version, session.place);
    for (const { flow } of missing.values()) bundle.add(flow);
    return [...removals, ...bundle.messages()];
  }

  private async makeMeter(session: SwitchSession): Promise<void> {
    try {
      await session.send(encodeMeterMod('add', REPLY_METER, session.version));
    } catch {
      // It is there from before: make it ours.
      await session.send(encodeMeterMod('modify', REPLY_METER, session.version));
    }
  }
}

function encoded(flow: Flow, { version, place }: SwitchSession): { match: Uint8Array; instructions: Uint8Array } {
  return { match: encodeMatch(matchFields(flow.match), version), instructions: encodeInstructions(instructions(placed(flow, place).actions), version) };
}
