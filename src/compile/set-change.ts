/**
 * The frequent change, at the cost of what changed: hosts come to or leave address sets while rules, prefixes and declared
 * addresses stay. The kernel state that follows equals that of a compilation from scratch (same numbers, same content).
 *
 * For that cost's sake the maps of hosts and of local addresses are changed in place and shared with the compilation before;
 * what moved is listed in `delta`. Whoever still holds the older compilation must not read these maps any more.
 */
import type { AddressKey } from './addresses.js';
import { classKey, intervalClass, union, type AddressClasses, type Family, type IntervalClasses } from './classes.js';
import type { CompiledSide, CompiledTable, HostMove, HostMoves, Side } from './compiled.js';
import { applyMoves, comesOrGoes } from './host-moves.js';
import type { Key6 } from './key6.js';
import { changeLocals, type LocalChange } from './local-change.js';

export interface SetDelta {
  /** Scoped key of the set. */
  readonly key: string;
  /** The list of members after the change, by which a later compilation knows that its classes hold; absent: they are made anew then. */
  readonly members?: readonly string[];
  /** Hosts only. */
  readonly added: readonly AddressKey[];
  readonly removed: readonly AddressKey[];
}

/** Above this many changed hosts a fresh compilation is as quick. */
const MAX_CHANGES = 4096;

/**
 * Undefined when the change needs a fresh compilation (and nothing was changed then): a class of addresses, a profile or a
 * kernel map would come to be or end, or a table becomes too large, or small enough, for a profile of every local address.
 */
export function changeHosts(compiled: CompiledTable, deltas: readonly SetDelta[]): CompiledTable | undefined {
  const { flat, classes } = compiled;
  if (deltas.reduce((sum, { added, removed }) => sum + added.length + removed.length, 0) > MAX_CHANGES) return undefined;

  const change = new HostChange(compiled);
  const sets = [...flat.sets];
  for (const { key, members, added, removed } of deltas) {
    const set = flat.setKeys.indexOf(key);
    if (set < 0) continue;
    sets[set] = members ?? [];
    for (const address of removed) change.leave(address, set);
    for (const address of added) change.join(address, set);
  }
  const moves = change.moves();
  if (moves === undefined) return undefined;
  const locals = { in: changeLocals(compiled, 'in', moves), out: changeLocals(compiled, 'out', moves) };
  if (locals.in === undefined || locals.out === undefined) return undefined;

  applyMoves(classes.hosts4, moves.hosts4);
  applyMoves(classes.hosts6, moves.hosts6);
  for (const [id, count] of moves.counts) classes.counts.set(id, count);
  const side = (name: Side, { moves: local, count }: LocalChange): CompiledSide => {
    const before = compiled.sides[name];
    applyMoves(before.locals4, local.hosts4);
    applyMoves(before.locals6, local.hosts6);
    return count === before.scope.count ? before : { ...before, scope: { ...before.scope, count } };
  };
  const { repaint: _, ...kept } = compiled;
  return {
    ...kept,
    edition: {},
    flat: { ...flat, sets },
    sides: { in: side('in', locals.in), out: side('out', locals.out) },
    delta: { base: compiled.edition, hosts4: moves.hosts4, hosts6: moves.hosts6, locals: { in: locals.in.moves, out: locals.out.moves } },
  };
}

interface CountedMoves extends HostMoves {
  /** Hosts and intervals of each class that changed, after the change. */
  readonly counts: ReadonlyMap<number, number>;
}

/** Collects new memberships without touching the compilation. */
class HostChange {
  private readonly hosts4 = new Map<number, readonly number[]>();
  private readonly hosts6 = new Map<Key6, readonly number[]>();
  private readonly classes: AddressClasses;
  private readonly splitFamilies: boolean;

  constructor(compiled: CompiledTable) {
    this.classes = compiled.classes;
    this.splitFamilies = compiled.flat.hasFamily;
  }

  join(address: AddressKey, set: number): void {
    this.update(address, (members) => union(members, [set]));
  }

  leave(address: AddressKey, set: number): void {
    // By prefix it stays in.
    if (this.around(address).includes(set)) return;
    this.update(address, (members) => members.filter((member) => member !== set));
  }

  /** Undefined when a class, or a map of hosts, would come to be or end. */
  moves(): CountedMoves | undefined {
    const { classes } = this;
    const counts = new Map<number, number>();
    const hosts4 = this.collect(4, this.hosts4, classes.hosts4, classes.intervals4, counts);
    const hosts6 = this.collect(6, this.hosts6, classes.hosts6, classes.intervals6, counts);
    if (hosts4 === undefined || hosts6 === undefined || [...counts.values()].some((value) => value <= 0)) return undefined;
    return { hosts4, hosts6, counts };
  }

  private collect<K extends number | string>(
    family: Family, wanted: ReadonlyMap<K, readonly number[]>, hosts: ReadonlyMap<K, number>, intervals: IntervalClasses<K>, counts: Map<number, number>,
  ): HostMove<K>[] | undefined {
    const { classes } = this;
    const count = (id: number, by: number): void => {
      if (id !== 0) counts.set(id, (counts.get(id) ?? classes.counts.get(id) ?? 0) + by);
    };
    const found: HostMove<K>[] = [];
    for (const [address, members] of wanted) {
      const around = intervalClass(intervals, address);
      const isHost = members.length > (classes.members.get(around) ?? []).length;
      const to = isHost ? classes.byMembers.get(classKey(members, this.splitFamilies ? family : undefined)) : 0;
      if (to === undefined) return undefined;
      const from = hosts.get(address) ?? 0;
      if (from === to) continue;
      count(from, -1);
      count(to, 1);
      found.push({ address, from, to, around });
    }
    return comesOrGoes(hosts, found) ? undefined : found;
  }

  private update(address: AddressKey, change: (members: readonly number[]) => readonly number[]): void {
    if (address.family === 4) this.hosts4.set(address.key, change(this.hosts4.get(address.key) ?? this.members(address)));
    else this.hosts6.set(address.key, change(this.hosts6.get(address.key) ?? this.members(address)));
  }

  private members(address: AddressKey): readonly number[] {
    const { classes } = this;
    const id = address.family === 4 ? classes.hosts4.get(address.key) : classes.hosts6.get(address.key);
    return id === undefined ? this.around(address) : (classes.members.get(id) ?? []);
  }

  private around(address: AddressKey): readonly number[] {
    const { classes } = this;
    const id = address.family === 4 ? intervalClass(classes.intervals4, address.key) : intervalClass(classes.intervals6, address.key);
    return classes.members.get(id) ?? [];
  }
}
