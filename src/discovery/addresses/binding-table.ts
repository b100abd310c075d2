/**
 * Which addresses each vNIC was seen to have, and which of these it may have. Pure, time is given: ms since 1970. What it keeps is bounded for
 * every vNIC, whatever its workload sends; what is over a limit is as if it had not been seen.
 *
 * An address belongs to one vNIC of the host: the one that has had it longest. Whether somebody else declares it is the caller's to know (`Judge`).
 */
import { Questions } from './questions.js';
import type { LearnedBy, Lease, Sighting } from './sighting.js';

/**
 * manual: seen addresses wait for an approval. firstUse: as many as the limits allow are bound when they are first seen, and stay. aged: a new one
 * takes the place of one that was not seen for `staleMs`.
 */
export type LearningMode = 'manual' | 'firstUse' | 'aged';

export interface BindingLimits {
  /** Addresses by ARP, and by neighbour discovery, of one vNIC. */
  readonly arp: number;
  readonly nd: number;
  readonly staleMs: number;
}

export interface Binding {
  readonly address: string;
  readonly by: LearnedBy;
  /** Whose address; '' = not known. */
  readonly mac: string;
  readonly state: 'bound' | 'pending';
  readonly since: number;
  readonly lastSeen: number;
  /** End of the lease. Absent: none. */
  readonly expires?: number;
  /** Length of the lease; absent as `expires`. */
  readonly leaseMs?: number;
}

/** An address that was claimed and not taken. */
export interface Refusal {
  readonly address: string;
  readonly by: LearnedBy;
  /** Who has it, as people name him. */
  readonly owner: string;
  readonly since: number;
  readonly lastSeen: number;
}

/** Who else may have an address: somebody that declares it; undefined: nobody. */
export type Judge = (address: string) => string | undefined;

/** changed: addressesOf() is another one. noted: only what people see. */
export type Outcome = 'changed' | 'noted' | 'seen' | 'nothing';

/** Leases of one vNIC, of each kind; of an IPv4 client it is one. */
const MOST_LEASES = 8;
const MOST_REFUSALS = 8;
/** What was learned of a vNIC that went away: its machine may be started again. */
const REMEMBERED_MS = 24 * 3_600_000;

interface Vnic {
  readonly bindings: Map<string, Binding>;
  readonly refusals: Map<string, Refusal>;
  readonly questions: Questions;
  mode: LearningMode;
  /** ms since 1970; undefined: it is there. */
  goneSince: number | undefined;
}

export class BindingTable {
  private readonly vnics = new Map<string, Vnic>();
  private owners: ReadonlyMap<string, string> | undefined;
  private changes = 0;

  constructor(private readonly limits: BindingLimits) {}

  /** Grows whenever addressesOf() or ownerOf() may answer something else. */
  get revision(): number {
    return this.changes;
  }

  /** The vNICs that learn, by key, and how. Others are forgotten a day after they went. */
  follow(wanted: ReadonlyMap<string, LearningMode>, now: number): void {
    for (const [key, mode] of wanted) {
      const vnic = this.vnics.get(key);
      if (vnic === undefined) this.vnics.set(key, { ...emptyVnic(), mode });
      else Object.assign(vnic, { mode, goneSince: undefined });
    }
    for (const [key, vnic] of this.vnics) {
      if (wanted.has(key)) continue;
      vnic.goneSince ??= now;
      if (vnic.bindings.size === 0 || now - vnic.goneSince >= REMEMBERED_MS) this.vnics.delete(key);
    }
    this.altered();
  }

  /** `judge` is asked only about what would be taken. */
  see(key: string, sighting: Sighting, now: number, judge: Judge): Outcome {
    const vnic = this.vnics.get(key);
    if (vnic === undefined || vnic.goneSince !== undefined) return 'nothing';
    if (sighting.kind === 'claim') return this.claim(key, vnic, sighting, now, judge);
    if (sighting.kind === 'question') {
      vnic.questions.ask(sighting, now);
      return 'nothing';
    }
    const mac = vnic.questions.macOf(sighting, now);
    if (mac === undefined) return 'nothing';
    return worst(sighting.leases.map((lease) => this.lease(key, vnic, { by: sighting.by, mac }, lease, now, judge)));
  }

  /** False: no such address waits there. */
  approve(key: string, address: string): boolean {
    const vnic = this.vnics.get(key);
    const binding = vnic?.bindings.get(address);
    if (vnic === undefined || binding?.state !== 'pending') return false;
    // It was a person who decided: no lease ends that.
    const { expires: _, leaseMs: __, ...rest } = binding;
    vnic.bindings.set(address, { ...rest, state: 'bound' });
    this.altered();
    return true;
  }

  /** Forgets one address of a vNIC, or all; how many. What is seen afterwards is learned anew. */
  release(key: string, address?: string): number {
    const vnic = this.vnics.get(key);
    if (vnic === undefined) return 0;
    const gone = [...vnic.bindings.keys()].filter((each) => address === undefined || each === address);
    for (const each of gone) vnic.bindings.delete(each);
    this.altered();
    return gone.length;
  }

  /** What time has ended. */
  expire(now: number): Outcome {
    let outcome: Outcome = 'nothing';
    for (const vnic of this.vnics.values()) {
      for (const [address, { state, expires, lastSeen }] of vnic.bindings) {
        const over = expires === undefined ? state === 'pending' && now - lastSeen >= this.limits.staleMs : now >= expires;
        if (!over) continue;
        vnic.bindings.delete(address);
        outcome = state === 'bound' ? 'changed' : worst([outcome, 'noted']);
      }
      for (const [address, { lastSeen }] of vnic.refusals) if (now - lastSeen >= this.limits.staleMs) vnic.refusals.delete(address);
    }
    if (outcome === 'changed') this.altered();
    return outcome;
  }

  /** When expire() has something to do; Infinity: never. */
  nextEnd(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { bindings } of this.vnics.values()) {
      for (const { expires, state, lastSeen } of bindings.values()) {
        if (expires !== undefined) next = Math.min(next, expires);
        else if (state === 'pending') next = Math.min(next, lastSeen + this.limits.staleMs);
      }
    }
    return next;
  }

  /** Bound, and nobody else's on this host; sorted. */
  addressesOf(key: string): readonly string[] {
    const owners = this.ownersNow();
    return [...(this.vnics.get(key)?.bindings.values() ?? [])].filter(({ state, address }) => state === 'bound' && owners.get(address) === key).map(({ address }) => address).sort();
  }

  /** The vNIC that has the address. */
  ownerOf(address: string): string | undefined {
    return this.ownersNow().get(address);
  }

  bindings(key: string): readonly Binding[] {
    return [...(this.vnics.get(key)?.bindings.values() ?? [])];
  }

  refusals(key: string): readonly Refusal[] {
    return [...(this.vnics.get(key)?.refusals.values() ?? [])];
  }

  keys(): Iterable<string> {
    return this.vnics.keys();
  }

  /** As bindings() of a former table. A lease that ended while nobody listened may have been renewed: the client does that when half of it is over (RFC 2131, 4.4.5). */
  restore(key: string, bindings: readonly Omit<Binding, 'lastSeen'>[], now: number): void {
    const vnic: Vnic = { ...emptyVnic(), goneSince: now };
    for (const binding of bindings) {
      const { expires, leaseMs = 0 } = binding;
      vnic.bindings.set(binding.address, { ...binding, lastSeen: now, ...(expires === undefined ? {} : { expires: Math.max(expires, now + leaseMs / 2) }) });
    }
    this.vnics.set(key, vnic);
    this.altered();
  }

  private claim(key: string, vnic: Vnic, { by, address, mac }: Sighting & { readonly kind: 'claim' }, now: number, judge: Judge): Outcome {
    const known = vnic.bindings.get(address);
    if (known !== undefined) {
      vnic.bindings.set(address, { ...known, lastSeen: now });
      return 'seen';
    }
    const alike = [...vnic.bindings.values()].filter((binding) => binding.by === by);
    const stale = vnic.mode === 'aged' ? oldest(alike.filter(({ lastSeen }) => this.isStale(lastSeen, now))) : undefined;
    if (alike.length >= this.limits[by] && stale === undefined) return 'nothing';
    const owner = judge(address) ?? this.rival(key, address, now);
    if (owner !== undefined) return refuse(vnic, { address, by, owner }, now);
    if (alike.length >= this.limits[by] && stale !== undefined) vnic.bindings.delete(stale.address);
    return this.bind(vnic, { address, by, mac, since: now, lastSeen: now });
  }

  private lease(key: string, vnic: Vnic, { by, mac }: { readonly by: 'dhcp' | 'dhcpv6'; readonly mac: string }, { address, seconds }: Lease, now: number, judge: Judge): Outcome {
    const known = vnic.bindings.get(address);
    if (seconds === 0) return known?.by === by && known.expires !== undefined ? this.end(vnic, known) : 'nothing';
    const time = Number.isFinite(seconds) ? { expires: now + seconds * 1_000, leaseMs: seconds * 1_000 } : {};
    // What a person approved stays what it is.
    const isApproved = ({ state }: Binding): boolean => vnic.mode === 'manual' && state === 'bound';
    const leases = [...vnic.bindings.values()].filter((binding) => binding.by === by && binding.address !== address);
    // An IPv4 client has one lease: the newest.
    const former = by === 'dhcp' ? leases.filter((binding) => binding.mac === mac && !isApproved(binding)) : [];
    if (known !== undefined) {
      const others = leases.length - former.length;
      if (isApproved(known) || others >= MOST_LEASES) {
        vnic.bindings.set(address, { ...known, lastSeen: now });
        return 'seen';
      }
      const { expires: _, leaseMs: __, ...rest } = known;
      vnic.bindings.set(address, { ...rest, by, mac, lastSeen: now, ...time });
      return worst([...former.map((binding) => this.end(vnic, binding)), 'noted']);
    }
    if (leases.length - former.length >= MOST_LEASES) return 'nothing';
    const owner = judge(address) ?? this.rival(key, address, now);
    if (owner !== undefined) return refuse(vnic, { address, by, owner }, now);
    return worst([...former.map((binding) => this.end(vnic, binding)), this.bind(vnic, { address, by, mac, since: now, lastSeen: now, ...time })]);
  }

  private bind(vnic: Vnic, binding: Omit<Binding, 'state'>): Outcome {
    const state = vnic.mode === 'manual' ? 'pending' : 'bound';
    vnic.bindings.set(binding.address, { ...binding, state });
    vnic.refusals.delete(binding.address);
    this.altered();
    return state === 'bound' ? 'changed' : 'noted';
  }

  private end(vnic: Vnic, { address, state }: Binding): Outcome {
    vnic.bindings.delete(address);
    this.altered();
    return state === 'bound' ? 'changed' : 'noted';
  }

  /** Another vNIC that has the address. What that one was not seen with for long, where addresses age, has moved: it loses it. */
  private rival(key: string, address: string, now: number): string | undefined {
    const other = this.ownersNow().get(address);
    if (other === undefined || other === key) return undefined;
    const vnic = this.vnics.get(other);
    const binding = vnic?.bindings.get(address);
    if (vnic === undefined || binding === undefined) return undefined;
    if (vnic.mode !== 'aged' || binding.expires !== undefined || !this.isStale(binding.lastSeen, now)) return other;
    this.end(vnic, binding);
    return undefined;
  }

  private isStale(lastSeen: number, now: number): boolean {
    return now - lastSeen >= this.limits.staleMs;
  }

  private altered(): void {
    this.owners = undefined;
    this.changes += 1;
  }

  private ownersNow(): ReadonlyMap<string, string> {
    if (this.owners !== undefined) return this.owners;
    const owners = new Map<string, { readonly key: string; readonly since: number }>();
    for (const [key, { bindings, goneSince }] of this.vnics) {
      if (goneSince !== undefined) continue;
      for (const { address, state, since } of bindings.values()) {
        if (state !== 'bound') continue;
        const other = owners.get(address);
        if (other === undefined || since < other.since || (since === other.since && key < other.key)) owners.set(address, { key, since });
      }
    }
    this.owners = new Map([...owners].map(([address, { key }]) => [address, key]));
    return this.owners;
  }
}

function emptyVnic(): Vnic {
  return { bindings: new Map(), refusals: new Map(), questions: new Questions(), mode: 'manual', goneSince: undefined };
}

function oldest(bindings: readonly Binding[]): Binding | undefined {
  return bindings.reduce<Binding | undefined>((found, each) => (found === undefined || each.lastSeen < found.lastSeen ? each : found), undefined);
}

/** The newest few; a flood of claims costs no more. */
function refuse({ refusals }: Vnic, refusal: Pick<Refusal, 'address' | 'by' | 'owner'>, now: number): Outcome {
  const known = refusals.get(refusal.address);
  refusals.delete(refusal.address);
  refusals.set(refusal.address, { ...refusal, since: known?.since ?? now, lastSeen: now });
  const [first] = refusals.keys();
  if (refusals.size > MOST_REFUSALS && first !== undefined) refusals.delete(first);
  return known?.owner === refusal.owner ? 'seen' : 'noted';
}

const ORDER: readonly Outcome[] = ['nothing', 'seen', 'noted', 'changed'];

/** The one with the most consequences. */
function worst(outcomes: readonly Outcome[]): Outcome {
  return outcomes.reduce<Outcome>((found, each) => (ORDER.indexOf(each) > ORDER.indexOf(found) ? each : found), 'nothing');
}
