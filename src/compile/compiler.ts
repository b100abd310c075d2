/**
 * Compiles each distinct list of rule tables once, for all filters that have it, and again only when something that it was
 * made of changed.
 */
import { AgentError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import type { RuleTableObject } from '../model/objects.js';
import { LIMITS, type Rule } from '../model/rule.js';
import { addressKey, localKeys, type AddressKey, type LocalKeys } from './addresses.js';
import { EffectiveTables, type EffectiveSet, type EffectiveTable } from './effective.js';
import { changeFlat } from './flat-change.js';
import { flatten, type ResolvedTable } from './flat-rules.js';
import { LabelIds } from './label-ids.js';
import { policiesUnknown } from './policy/isolation.js';
import { memberRanges, type Ranges } from './ranges.js';
import type { Intervals } from './regions.js';
import { changeRules } from './rule-change.js';
import { RuleSerials } from './rule-serials.js';
import { changeHosts, type SetDelta } from './set-change.js';
import { compileTable } from './table.js';
import type { CompileLimits } from './profiles.js';
import { type CompiledTable } from './compiled.js';
import type { Problem, World } from './world.js';

export interface Compilation {
  /** Compiled tables by key. */
  readonly tables: ReadonlyMap<string, CompiledTable>;
  /** Table key of each filter, by filter name; absent = no table in force. */
  readonly filterTables: ReadonlyMap<string, string>;
  /** Rule tables in force that each key stands for, in order. */
  readonly sources: ReadonlyMap<string, readonly EffectiveTable[]>;
  readonly problems: readonly Problem[];
  /** Summed over filters. */
  readonly rules: number;
  /** Members of the distinct sets in use. */
  readonly addresses: number;
}

/** A filter's tables made of policies, after its own rule tables; undefined = which policies apply cannot be told yet. */
export type PolicyTables = (filter: string) => readonly EffectiveTable[] | undefined;

/**
 * What cuts a filter off, before everything else; empty = nothing. `alone`: nothing else is in force there, so that failurePolicy decides; a
 * table then takes its place.
 */
export type QuarantineTables = (filter: Filter, alone: boolean) => readonly EffectiveTable[];

/**
 * Where a filter is enforced, as text that no rule table's name begins with; '' or undefined: with most others. The same rule has different labels in
 * different realms, so that what one of them wrote to a connection says nothing in another.
 */
export type RealmOf = (filter: Filter) => string | undefined;

interface Entry {
  readonly tables: readonly EffectiveTable[];
  readonly locals: string;
  readonly compiled: CompiledTable;
}

export class Compiler {
  private readonly labels = new LabelIds();
  private readonly effective = new EffectiveTables();
  private readonly serials = new RuleSerials();
  private readonly unknown = policiesUnknown();
  private entries = new Map<string, Entry>();
  private readonly ranges = new WeakMap<readonly string[], Ranges>();

  constructor(private readonly limits: CompileLimits = {}) {}

  /** Restores the label ids that the kernel holds. Before the first compile. */
  seed(ids: ReadonlyMap<number, string>): void {
    for (const [id, key] of ids) this.labels.seed(key, id);
  }

  /** @throws AgentError E_LIMIT when the host would have too many rules: nothing changes then. */
  compile(world: World, policies: PolicyTables = () => undefined, quarantine: QuarantineTables = () => [], realmOf: RealmOf = () => undefined): Compilation {
    const used = new Map<string, RuleTableObject>();
    for (const filter of world.filters) for (const table of filter.tables) used.set(table.metadata.name, table);
    const { tables: inForce, problems } = this.effective.update(used.values(), world.addressSets);

    const filterTables = new Map<string, string>();
    const groups = new Map<string, { filters: Filter[]; tables: EffectiveTable[]; realm: string }>();
    let rules = 0;
    for (const filter of world.filters) {
      const own = filter.tables.flatMap((table) => inForce.get(table.metadata.name) ?? []);
      const chosen = policies(filter.name);
      const alone = own.length === 0 && chosen === undefined;
      const first = quarantine(filter, alone);
      if (alone && first.length === 0) continue;
      const tables = [...first, ...own, ...(chosen ?? (filter.early === true && own.length > 0 ? [this.unknown] : []))];
      const realm = realmOf(filter) ?? '';
      const key = realm + tables.map(({ table }) => table.metadata.name).join(' ');
      const group = groups.get(key) ?? { filters: [], tables, realm };
      group.filters.push(filter);
      groups.set(key, group);
      filterTables.set(filter.name, key);
      rules += tables.reduce((sum, { table }) => sum + table.rules.length, 0);
    }
    if (rules > LIMITS.rulesPerHost) {
      throw new AgentError('E_LIMIT', `${rules} rules over all filters; a host takes ${LIMITS.rulesPerHost}`, { object: 'rules' });
    }
    this.entries = new Map([...groups].map(([key, group]) => [key, this.entry(key, group.filters, group.tables, group.realm)]));
    return {
      tables: new Map([...this.entries].map(([key, entry]) => [key, entry.compiled])),
      sources: new Map([...this.entries].map(([key, entry]) => [key, entry.tables])),
      filterTables, problems, rules, addresses: countMembers([...this.entries.values()]),
    };
  }

  private entry(key: string, filters: readonly Filter[], tables: readonly EffectiveTable[], realm: string): Entry {
    const known = this.entries.get(key);
    const locals = localKeys(filters.flatMap((filter) => filter.addresses));
    if (known !== undefined && known.locals === locals.text) {
      if (sameList(tables, known.tables)) return known;
      const deltas = memberChanges(known.tables, tables);
      const updated = deltas === undefined ? undefined : changeHosts(known.compiled, deltas);
      if (updated !== undefined) return { tables, locals: locals.text, compiled: updated };
    }
    return { tables, locals: locals.text, compiled: this.compileRules(known, tables, locals, realm) };
  }

  /** Compiles other rules, or other sets, as little anew as it takes. */
  private compileRules(known: Entry | undefined, tables: readonly EffectiveTable[], locals: LocalKeys, realm: string): CompiledTable {
    const before = known?.compiled;
    const resolved = tables.map(resolve);
    const intervals = (rule: Rule): Intervals => this.serials.intervals(rule);
    const change = known === undefined ? undefined : changeFlat(known.compiled.flat, known.tables.map(resolve), resolved, intervals);
    const options = {
      ...this.limits, before, realm, serials: this.serials, labelId: (label: string) => this.labels.id(label), ranges: (members: readonly string[]) => this.rangesOf(members),
    };
    if (change !== undefined && before !== undefined && known?.locals === locals.text) {
      const changed = changeRules(before, change, options);
      if (changed !== undefined) return changed;
    }
    const flat = change?.flat ?? flatten(resolved, { order: before?.flat.setKeys ?? [], intervals });
    return compileTable(flat, locals, options);
  }

  private rangesOf(members: readonly string[]): Ranges {
    const known = this.ranges.get(members);
    if (known !== undefined) return known;
    const built = memberRanges(members);
    this.ranges.set(members, built);
    return built;
  }
}

function resolve({ table, section, sets }: EffectiveTable): ResolvedTable {
  return { name: table.metadata.name, rules: table.rules, sets, ...(section === undefined ? {} : { section }) };
}

function countMembers(entries: readonly Entry[]): number {
  const distinct = new Set<readonly string[]>();
  for (const { tables } of entries) for (const { sets } of tables) for (const { members } of sets.values()) distinct.add(members);
  let count = 0;
  for (const members of distinct) count += members.length;
  return count;
}

/** What changed, when it is hosts of address sets and nothing else; else undefined. */
function memberChanges(before: readonly EffectiveTable[], after: readonly EffectiveTable[]): SetDelta[] | undefined {
  const deltas: SetDelta[] = [];
  const seen = new Set<string>();
  for (const [index, { table, section, sets }] of after.entries()) {
    const old = before[index];
    if (old === undefined || old.section !== section || old.sets.size !== sets.size || !sameRules(old, { table, sets })) return undefined;
    for (const [name, { key, members, change }] of sets) {
      const known = old.sets.get(name);
      if (known?.key !== key) return undefined;
      if (known.members === members || seen.has(key)) continue;
      seen.add(key);
      const delta = change?.base === known.members ? knownDelta(change) : hostDelta(known.members, members);
      if (delta === undefined) return undefined;
      deltas.push({ key, members, ...delta });
    }
  }
  return deltas;
}

function sameRules(a: EffectiveTable, b: EffectiveTable): boolean {
  if (a.table === b.table) return true;
  const [before, after] = [a.table.rules, b.table.rules];
  return a.table.metadata.name === b.table.metadata.name && before.length === after.length
    && before.every((rule, index) => rule === after[index] || JSON.stringify(rule) === JSON.stringify(after[index]));
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

/** Above this many members that left, looking for their duplicates costs more than compiling afresh. */
const MAX_REMOVED = 256;

function knownDelta({ added, removed }: NonNullable<EffectiveSet['change']>): Pick<SetDelta, 'added' | 'removed'> | undefined {
  const [came, went] = [hostKeys(added), hostKeys(removed)];
  return came === undefined || went === undefined ? undefined : { added: came, removed: went };
}

/** Undefined when one of them is no host. */
function hostKeys(texts: readonly string[]): AddressKey[] | undefined {
  const keys = texts.map(addressKey);
  return keys.every((entry) => entry !== undefined) ? keys : undefined;
}

/** What came and went, when it is hosts only. Lists that differ in one stretch cost one comparison a member. */
function hostDelta(before: readonly string[], after: readonly string[]): Pick<SetDelta, 'added' | 'removed'> | undefined {
  let start = 0;
  const shorter = Math.min(before.length, after.length);
  while (start < shorter && before[start] === after[start]) start += 1;
  let tail = 0;
  while (tail < shorter - start && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const old = new Set(before.slice(start, before.length - tail));
  const fresh = new Set(after.slice(start, after.length - tail));
  const added = hostKeys([...fresh].filter((text) => !old.has(text)));
  const gone = [...old].filter((text) => !fresh.has(text));
  if (gone.length > MAX_REMOVED) return undefined;
  // Listed twice, a member stays in while one of the two does.
  const removed = hostKeys(gone.filter((text) => !after.includes(text)));
  return added === undefined || removed === undefined ? undefined : { added, removed };
}
