/**
 * What a store held, version after version, and what verdicts are right while an agent follows it. Changes come to the agent by several streams (the
 * kinds of an API server, the ranges of etcd), each in its order; how far one is ahead of another, nobody promises. So what may be in force is
 * any combination of versions, one a stream, between what was confirmed and the newest; and at the two ends of a way two of them.
 */
import type { DesiredObject } from '../../../src/model/objects.js';
import type { OraclePacket } from '../../oracle/packet.js';
import { oracleOf, type PolicyStep } from '../../oracle/policy-oracle.js';
import { decode } from '../decode.js';
import type { Manifest } from '../policies.js';
import type { Verdict } from '../probe/reach.js';
import { referencesOf, type Change } from './changes.js';

type Version = ReadonlyMap<string, Manifest>;
/** A version of every stream. */
export type Place = ReadonlyMap<string, number>;

/** Names of Attachments. */
export interface Way { readonly from: string; readonly to: string; readonly packet: OraclePacket }

/** More combinations than this are not looked at. */
const MOST_COMBINATIONS = 160;
const VERDICTS: Readonly<Record<PolicyStep['action'], Verdict>> = { accept: 'Con', drop: 'Drp', reject: 'Rej' };

export class History {
  private readonly streams = new Map<string, Version[]>();
  private readonly decoded = new WeakMap<Manifest, DesiredObject>();
  private readonly judges = new Map<string, ReturnType<typeof oracleOf> | undefined>();
  private confirmed: Place = new Map();

  /** `streamOf`: by which a document comes. */
  constructor(private readonly streamOf: (document: Manifest) => string, private readonly node: string) {}

  /** The newest version from now on. To be told before it is written: it may be in force at once. */
  push({ key, document, before }: Change): void {
    const of = document ?? before;
    if (of === undefined) return;
    const versions = this.versionsOf(this.streamOf(of));
    const next = new Map(versions.at(-1));
    if (document === undefined) next.delete(key);
    else next.set(key, document);
    versions.push(next);
  }

  /** Everything is as it once was. */
  goBack(to: ReadonlyMap<string, Manifest>): void {
    for (const [stream, versions] of this.streams) {
      const next = new Map([...to].filter(([, document]) => this.streamOf(document) === stream));
      const last = versions.at(-1);
      if (next.size !== last?.size || [...next].some(([key, document]) => last.get(key) !== document)) versions.push(next);
    }
  }

  get newest(): Place {
    return new Map([...this.streams].map(([stream, versions]) => [stream, versions.length - 1]));
  }

  /** What is in force is no older. */
  get oldest(): Place {
    return this.confirmed;
  }

  /** Too much is under way for verdicts to be told. */
  get unclear(): boolean {
    return this.combinations(this.oldest, this.newest) === undefined;
  }

  confirm(place: Place): void {
    this.confirmed = place;
    this.judges.clear();
  }

  /** Right verdicts for each way while something between the places is in force; undefined: too many possibilities. */
  verdicts(ways: readonly Way[], oldest: Place, newest: Place): Set<Verdict>[] | undefined {
    const combinations = this.combinations(oldest, newest);
    if (combinations === undefined) return undefined;
    const ends = ways.map(() => [new Set<PolicyStep['action']>(), new Set<PolicyStep['action']>()] as const);
    for (const combination of combinations) {
      const judge = this.judgeOf(combination);
      if (judge === undefined) continue;
      for (const [index, { packet, from, to }] of ways.entries()) {
        ends[index]?.[0].add(judge(packet, { from }).action);
        ends[index]?.[1].add(judge(packet, { to }).action);
      }
    }
    return ends.map(([out, into]) => new Set([...out].flatMap((action) => (action === 'accept' ? [...into] : [action])).map((action) => VERDICTS[action])));
  }

  private versionsOf(stream: string): Version[] {
    const versions = this.streams.get(stream) ?? [new Map<string, Manifest>()];
    this.streams.set(stream, versions);
    return versions;
  }

  private combinations(oldest: Place, newest: Place): Map<string, number>[] | undefined {
    let all: Map<string, number>[] = [new Map()];
    for (const [stream, last] of newest) {
      const first = oldest.get(stream) ?? 0;
      if (all.length * (last - first + 1) > MOST_COMBINATIONS) return undefined;
      all = all.flatMap((one) => Array.from({ length: last - first + 1 }, (_, index) => new Map([...one, [stream, first + index]])));
    }
    return all;
  }

  /** Undefined: something in it names what is not there, so an agent keeps the version before, which is another combination. */
  private judgeOf(place: Place): ReturnType<typeof oracleOf> | undefined {
    const name = [...place.values()].join();
    if (this.judges.has(name)) return this.judges.get(name);
    const documents = new Map([...place].flatMap(([stream, version]) => [...(this.versionsOf(stream)[version] ?? [])]));
    const whole = [...documents.values()].every((document) => referencesOf(document).every((key) => documents.has(key)));
    const judge = whole ? oracleOf({ objects: [...documents.values()].map((document) => this.objectOf(document)), node: this.node, cluster: 'default' }) : undefined;
    this.judges.set(name, judge);
    return judge;
  }

  private objectOf(document: Manifest): DesiredObject {
    const known = this.decoded.get(document);
    if (known !== undefined) return known;
    const decoded = decode(document);
    if ('problems' in decoded) throw new Error(`refused: ${JSON.stringify(decoded.problems)}`);
    this.decoded.set(document, decoded.object);
    return decoded.object;
  }
}
