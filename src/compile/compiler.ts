/**
 * Compiles each distinct list of rule tables once, for all filters that have it, and again only when something that it was
 * made of changed. What cannot be compiled is held: its filters keep what they last had.
 */
import { AgentError, describeError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import type { AddressSetObject, RuleTableObject } from '../model/objects.js';
import { LIMITS } from '../model/rule.js';
import { addressKey, localKeys, type AddressKey } from './addresses.js';
import { memberRanges, type Ranges } from './ranges.js';
import { flatten, type FlatRules, type ResolvedSet, type ResolvedTable } from './flat-rules.js';
import { LabelIds } from './label-ids.js';
import { changeHosts, type SetDelta } from './set-change.js';
import { compileTable, type CompiledTable } from './table.js';
import type { Problem, World } from './world.js';

export interface Compilation {
  /** Compiled tables by key. */
  readonly tables: ReadonlyMap<string, CompiledTable>;
  /** Table key of each filter, by filter name; absent = no table yet. */
  readonly filterTables: ReadonlyMap<string, string>;
  /** Rule tables that each key stands for, in order. */
  readonly sources: ReadonlyMap<string, readonly RuleTableObject[]>;
  readonly problems: readonly Problem[];
  readonly rules: number;
  readonly addresses: number;
}

interface Entry {
  readonly tables: readonly RuleTableObject[];
  /** Every address set the tables could name, by scoped key, with the members it was compiled from. */
  readonly sets: ReadonlyMap<string, readonly string[]>;
  readonly locals: string;
  readonly flat: FlatRules;
  readonly compiled: CompiledTable;
}

export class Compiler {
  private readonly labels = new LabelIds();
  private entries = new Map<string, Entry>();
  private readonly ranges = new WeakMap<readonly string[], Ranges>();

  /** Restores the label ids that the kernel holds. Before the first compile. */
  seed(ids: ReadonlyMap<number, string>): void {
    for (const [id, key] of ids) this.labels.seed(key, id);
  }

  compile(world: World): Compilation {
    const problems: Problem[] = [];
    const entries = new Map<string, Entry>();
    const filterTables = new Map<string, string>();
    const groups = new Map<string, Filter[]>();
    for (const filter of world.filters) {
      if (filter.tables.length === 0) continue;
      const key = filter.tables.map((table) => table.metadata.name).join(' ');
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [filter]);
      else group.push(filter);
      filterTables.set(filter.name, key);
    }
    let rules = 0;
    for (const [key, filters] of groups) {
      const entry = this.entry(key, filters, world, problems);
      if (entry === undefined) for (const filter of filters) filterTables.delete(filter.name);
      else {
        entries.set(key, entry);
        rules += entry.flat.rules.length * filters.length;
      }
    }
    if (rules > LIMITS.rulesPerHost) {
      throw new AgentError('E_LIMIT', `${rules} rules over all filters; a host takes ${LIMITS.rulesPerHost}`, { object: 'rules' });
    }
    this.entries = entries;
    const distinct = new Set<readonly string[]>();
    for (const entry of entries.values()) for (const members of entry.sets.values()) distinct.add(members);
    let addresses = 0;
    for (const members of distinct) addresses += members.length;
    return {
      tables: new Map([...entries].map(([key, entry]) => [key, entry.compiled])),
      sources: new Map([...entries].map(([key, entry]) => [key, entry.tables])),
      filterTables, problems, rules, addresses,
    };
  }

  private entry(key: string, filters: readonly Filter[], world: World, problems: Problem[]): Entry | undefined {
    const known = this.entries.get(key);
    const tables = filters[0]?.tables ?? [];
    const locals = localKeys(filters.flatMap((filter) => filter.addresses));
    try {
      const sets = setMembers(tables, world.addressSets);
      if (known !== undefined && locals.text === known.locals && sameList(tables, known.tables)) {
        const changed = changedSets(known.sets, sets);
        if (changed.length === 0) return known;
        const deltas = changed.map((name) => hostDelta(name, known.sets.get(name) ?? [], sets.get(name) ?? []));
        const updated = deltas.every((delta) => delta !== undefined) ? changeHosts(known.compiled, deltas) : undefined;
        if (updated !== undefined) return { ...known, sets, compiled: updated };
      }
      const flat = flatten(tables.map((table) => this.resolve(table, world.addressSets)), (members) => this.rangesOf(members));
      const compiled = compileTable(flat, locals, { labelId: (label) => this.labels.id(label) });
      return { tables, sets, locals: locals.text, flat, compiled };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      problems.push({ object: error.object ?? key, path: error.path ?? '', message: `held: ${describeError(new AgentError(error.code, error.message))}` });
      return known;
    }
  }

  private resolve(table: RuleTableObject, shared: ReadonlyMap<string, AddressSetObject>): ResolvedTable {
    const { name } = table.metadata;
    const sets = new Map<string, ResolvedSet>();
    for (const set of shared.values()) sets.set(set.metadata.name, this.resolvedSet(`/${set.metadata.name}`, set.addresses));
    for (const set of table.addressSets) sets.set(set.name, this.resolvedSet(`${name}/${set.name}`, set.addresses));
    return { name, rules: table.rules, sets };
  }

  private resolvedSet(key: string, members: readonly string[]): ResolvedSet {
    const ranges = (): Ranges => this.rangesOf(members);
    return {
      key,
      get ranges(): Ranges {
        return ranges();
      },
    };
  }

  private rangesOf(members: readonly string[]): Ranges {
    const known = this.ranges.get(members);
    if (known !== undefined) return known;
    const built = memberRanges(members);
    this.ranges.set(members, built);
    return built;
  }
}

/** Members of the sets that the tables' rules name, by scoped key. */
function setMembers(tables: readonly RuleTableObject[], shared: ReadonlyMap<string, AddressSetObject>): Map<string, readonly string[]> {
  const members = new Map<string, readonly string[]>();
  for (const table of tables) {
    const own = new Map(table.addressSets.map((set) => [set.name, set.addresses]));
    for (const rule of table.rules) {
      for (const name of [...rule.source.addressSets, ...rule.destination.addressSets]) {
        const local = own.get(name);
        const found = local ?? shared.get(name)?.addresses;
        if (found !== undefined) members.set(local === undefined ? `/${name}` : `${table.metadata.name}/${name}`, found);
      }
    }
  }
  return members;
}

function changedSets(before: ReadonlyMap<string, readonly string[]>, after: ReadonlyMap<string, readonly string[]>): string[] {
  const changed = [...after].filter(([key, members]) => before.get(key) !== members).map(([key]) => key);
  for (const key of before.keys()) if (!after.has(key)) changed.push(key);
  return changed;
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

/** What came and went, when it is hosts only. */
function hostDelta(key: string, before: readonly string[], after: readonly string[]): SetDelta | undefined {
  const old = new Set(before);
  const fresh = new Set(after);
  const hosts = (texts: readonly string[]): AddressKey[] | undefined => {
    const keys = texts.map(addressKey);
    return keys.every((entry) => entry !== undefined) ? keys : undefined;
  };
  const added = hosts(after.filter((text) => !old.has(text)));
  const removed = hosts(before.filter((text) => !fresh.has(text)));
  return added === undefined || removed === undefined ? undefined : { key, added, removed };
}
