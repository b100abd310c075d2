/**
 * The frequent change, at the cost of what changed: hosts come to or leave address sets while rules, prefixes and local
 * addresses stay. The kernel state that follows equals that of a compilation from scratch (same numbers, same content).
 *
 * For that cost's sake the host maps are changed in place and shared with the compilation before; what moved is listed in
 * `delta`. Whoever still holds the older compilation must not read its host maps any more.
 */
import { intervalClass, union } from './classes.js';
import type { AddressKey } from './addresses.js';
import type { CompiledTable, HostMove } from './compiled.js';
import type { IntervalClasses } from './classes.js';

export interface SetDelta {
  /** Scoped key of the set. */
  readonly key: string;
  /** Hosts only. */
  readonly added: readonly AddressKey[];
  readonly removed: readonly AddressKey[];
}

/** Above this many changed hosts a fresh compilation is as quick. */
const MAX_CHANGES = 4096;

/**
 * Undefined when the change needs a fresh compilation (and nothing was changed then): local profiles depend on set
 * membership, an address gets a membership that no class has, or the last address of a class goes.
 */
export function changeHosts(compiled: CompiledTable, deltas: readonly SetDelta[]): CompiledTable | undefined {
  const { flat, classes, sides } = compiled;
  if ([sides.in, sides.out].some((side) => side.profiles.size > 1 || side.guarded.size > 0)) return undefined;
  if (flat.hasFamily || deltas.reduce((sum, { added, removed }) => sum + added.length + removed.length, 0) > MAX_CHANGES) return undefined;

  const change = new HostChange(compiled);
  for (const { key, added, removed } of deltas) {
    const set = flat.setKeys.indexOf(key);
    if (set < 0) continue;
    for (const address of removed) change.leave(address, set);
    for (const address of added) change.join(address, set);
  }
  const moves = change.moves();
  if (moves === undefined) return undefined;
  for (const { address, to } of moves.hosts4) move(classes.hosts4, address, to);
  for (const { address, to } of moves.hosts6) move(classes.hosts6, address, to);
  for (const [id, count] of moves.counts) classes.counts.set(id, count);
  return { ...compiled, delta: { base: compiled, hosts4: moves.hosts4, hosts6: moves.hosts6 } };
}

function move<K>(hosts: Map<K, number>, address: K, to: number): void {
  if (to === 0) hosts.delete(address);
  else hosts.set(address, to);
}

interface Moves {
  readonly hosts4: readonly HostMove<number>[];
  readonly hosts6: readonly HostMove<string>[];
  readonly counts: ReadonlyMap<number, number>;
}

/** Collects new memberships without touching the compilation. */
class HostChange {
  private readonly hosts4 = new Map<number, readonly number[]>();
  private readonly hosts6 = new Map<string, readonly number[]>();

  constructor(private readonly compiled: CompiledTable) {}

  join(address: AddressKey, set: number): void {
    this.update(address, (members) => union(members, [set]));
  }

  leave(address: AddressKey, set: number): void {
    const around = this.around(address);
    // By prefix it stays in.
    if (around.includes(set)) return;
    this.update(address, (members) => members.filter((member) => member !== set));
  }

  moves(): Moves | undefined {
    const { classes } = this.compiled;
    const counts = new Map<number, number>();
    const count = (id: number, by: number): void => {
      if (id !== 0) counts.set(id, (counts.get(id) ?? classes.counts.get(id) ?? 0) + by);
    };
    const collect = <K extends number | string>(
      wanted: ReadonlyMap<K, readonly number[]>, hosts: ReadonlyMap<K, number>, intervals: IntervalClasses<K>,
    ): HostMove<K>[] | undefined => {
      const found: HostMove<K>[] = [];
      for (const [address, members] of wanted) {
        const around = intervalClass(intervals, address);
        const isHost = members.length > (classes.members.get(around) ?? []).length;
        const to = isHost ? classes.byMembers.get(members.join()) : 0;
        if (to === undefined) return undefined;
        const from = hosts.get(address) ?? 0;
        if (from === to) continue;
        count(from, -1);
        count(to, 1);
        found.push({ address, from, to, around });
      }
      // The kernel's map appears with the first host of a family.
      return hosts.size === 0 && found.length > 0 ? undefined : found;
    };
    const hosts4 = collect(this.hosts4, classes.hosts4, classes.intervals4);
    const hosts6 = collect(this.hosts6, classes.hosts6, classes.intervals6);
    if (hosts4 === undefined || hosts6 === undefined || [...counts.values()].some((value) => value <= 0)) return undefined;
    return { hosts4, hosts6, counts };
  }

  private update(address: AddressKey, change: (members: readonly number[]) => readonly number[]): void {
    if (address.family === 4) this.hosts4.set(address.key, change(this.hosts4.get(address.key) ?? this.members(address)));
    else this.hosts6.set(address.key, change(this.hosts6.get(address.key) ?? this.members(address)));
  }

  private members(address: AddressKey): readonly number[] {
    const { classes } = this.compiled;
    const id = address.family === 4 ? classes.hosts4.get(address.key) : classes.hosts6.get(address.key);
    return id === undefined ? this.around(address) : (classes.members.get(id) ?? []);
  }

  private around(address: AddressKey): readonly number[] {
    const { classes } = this.compiled;
    const id = address.family === 4 ? intervalClass(classes.intervals4, address.key) : intervalClass(classes.intervals6, address.key);
    return classes.members.get(id) ?? [];
  }
}
