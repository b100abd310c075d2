/** First contacts between the workloads while everything changes: each verdict must be one that is right at some time between before and after it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PROTOCOL } from '../../oracle/packet.js';
import type { Random } from '../../oracle/random.js';
import type { WorldWorkload } from '../netns.js';
import type { Check, Reach, Verdict } from '../probe/reach.js';
import { CHANGING_PORTS } from './changes.js';
import type { History, Place, Way } from './history.js';

const AT_ONCE = 18;
const LIMIT_MS = 1_500;
const PATIENT_MS = 5_000;
/** On a busy machine others want to do something, too. */
const PAUSE_MS = 20;

interface Contact { readonly way: Way; readonly check: Check }

export interface ProbeOptions {
  readonly random: Random;
  readonly reach: Reach;
  readonly workloads: readonly WorldWorkload[];
  /** Object name of the filter's workload by workload's name. */
  readonly attachment: (name: string) => string;
  readonly history: History;
  /** The agent itself answers what rules reject: without one, silence. */
  readonly rejectsSilently: boolean;
}

export class Probes {
  readonly wrong: string[] = [];
  judged = 0;
  /** What could not be told: too much was under way. */
  unjudged = 0;
  /** How often nothing was tried for that reason. */
  unclear = 0;

  constructor(private readonly options: ProbeOptions) {}

  /** Every way at every port, over both families. */
  all(): Contact[] {
    const { workloads } = this.options;
    return workloads.flatMap((from) => workloads.filter((to) => to !== from).flatMap((to) => CHANGING_PORTS.flatMap((port) => [4, 6].map((family) => this.contact(from, to, port, family as 4 | 6)))));
  }

  /** Until told otherwise, or something is wrong. */
  async run(signal: AbortSignal): Promise<void> {
    const everything = this.all();
    while (!signal.aborted && this.wrong.length === 0) {
      // Of that nothing could be said.
      if (this.options.history.unclear) this.unclear += 1;
      else await this.look(Array.from({ length: AT_ONCE }, () => this.options.random.pick(everything)), () => this.options.history.newest);
      await sleep(PAUSE_MS);
    }
  }

  /** `newest`: what may be in force afterwards. */
  async look(contacts: readonly Contact[], newest: () => Place): Promise<void> {
    const first = await this.attempt(contacts, newest, LIMIT_MS);
    // Silence may be a busy machine. What came through, or was refused, did.
    const silent = first.filter(({ got }) => got === 'Drp').map(({ contact }) => contact);
    const still = silent.length === 0 ? [] : await this.attempt(silent, newest, PATIENT_MS, 'Con');
    for (const { text } of [...first.filter(({ got }) => got !== 'Drp'), ...still]) this.wrong.push(text);
  }

  private async attempt(contacts: readonly Contact[], newest: () => Place, limitMs: number, expected?: Verdict): Promise<{ contact: Contact; got: Verdict; text: string }[]> {
    const { history, reach, rejectsSilently } = this.options;
    const oldest = history.oldest;
    const began = new Date().toISOString();
    const now = history.newest;
    const hopes = history.verdicts(contacts.map(({ way }) => way), now, now);
    const got = await reach.probe(contacts.map(({ check }, index) => ({ ...check, expected: expected ?? [...(hopes?.[index] ?? [])][0] ?? 'Drp' })), limitMs);
    const last = newest();
    const right = history.verdicts(contacts.map(({ way }) => way), oldest, last);
    if (right === undefined) {
      this.unjudged += contacts.length;
      return [];
    }
    this.judged += contacts.length;
    return contacts.flatMap((contact, index) => {
      const verdict = got[index] ?? 'Drp';
      const allowed = right[index] ?? new Set<Verdict>();
      if (allowed.has(verdict) || (rejectsSilently && verdict === 'Drp' && allowed.has('Rej'))) return [];
      const { from, address, port } = contact.check;
      const place = [...last].map(([stream, version]) => `${stream} ${oldest.get(stream) ?? 0}-${version}`).join(', ');
      return [{ contact, got: verdict, text: `${from} to ${contact.way.to} ${address}:${port}: ${verdict}, right is ${[...allowed].join(' or ')} (${place}); ${began} to ${new Date().toISOString()}` }];
    });
  }

  private contact(from: WorldWorkload, to: WorldWorkload, port: number, family: 4 | 6): Contact {
    const { attachment } = this.options;
    const [source, destination] = family === 4 ? [from.ipv4, to.ipv4] : [from.ipv6, to.ipv6];
    // No rule looks at the source's port.
    const packet = { family, protocol: PROTOCOL.tcp, source, destination, sourcePort: 40_000, destinationPort: port };
    return { way: { from: attachment(from.name), to: attachment(to.name), packet }, check: { from: from.name, address: destination, protocol: 'tcp', port, expected: 'Con' } };
  }
}
