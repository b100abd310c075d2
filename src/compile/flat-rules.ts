/** A filter's rule tables, in order, as one flat list of rules with numbered address sets: what the classifier is compiled from. */
import { AgentError } from '../model/errors.js';
import type { AddressMatch, Direction, PortRange, Rule } from '../model/rule.js';
import { SECTIONS, type Section } from './effective.js';
import { SPACE, type Intervals } from './regions.js';

/** A rule table with its address sets resolved. */
export interface ResolvedTable {
  readonly name: string;
  /** Absent = the first. */
  readonly section?: Section;
  readonly rules: readonly Rule[];
  /** Set name as the rules use it -> a key that is equal only for the same content owner (EffectiveSet.key). */
  readonly sets: ReadonlyMap<string, ResolvedSet>;
}
export interface ResolvedSet {
  readonly key: string;
  /** Canonical texts; another list stands for other content. */
  readonly members: readonly string[];
}

/** One side of a rule: the sets it names, by index. Empty and not negated = any; empty and negated cannot be. */
export interface SideCondition {
  readonly any: boolean;
  readonly not: boolean;
  readonly sets: readonly number[];
}

export interface FlatRule {
  readonly table: string;
  /** Index into SECTIONS; never decreases from rule to rule. */
  readonly section: number;
  readonly rule: Rule;
  readonly source: SideCondition;
  readonly destination: SideCondition;
  /** Index into FlatRules.sourcePorts, or -1 = any. */
  readonly sourcePorts: number;
}

export interface FlatRules {
  readonly rules: readonly FlatRule[];
  readonly setKeys: readonly string[];
  /** Members of each set: lists told apart by identity, but for literal addresses, whose key says it all. */
  readonly sets: readonly (readonly string[])[];
  /** Protocol and port intervals of each rule, by its position. */
  readonly intervals: readonly Intervals[];
  /** Distinct source port lists. */
  readonly sourcePorts: readonly (readonly PortRange[])[];
  /** Some rule is restricted to one family. */
  readonly hasFamily: boolean;
  /** Some rule passes to the next section. */
  readonly hasPass: boolean;
}

export interface FlattenOptions {
  /** An earlier result's set keys: they keep their indexes when exactly the same sets are used. */
  readonly order?: readonly string[];
  /** ruleIntervals, or a cache of it. */
  readonly intervals?: (rule: Rule) => Intervals;
}

/**
 * Flattens in order. A rule's literal addresses are a set of their own, equal ones the same.
 * @throws AgentError E_HELD when a rule names a set that does not exist: the table is held, never guessed.
 */
export function flatten(tables: readonly ResolvedTable[], options: FlattenOptions = {}): FlatRules {
  const setKeys: string[] = [];
  const sets: (readonly string[])[] = [];
  const indexes = new Map<string, number>();
  const sourcePorts: (readonly PortRange[])[] = [];
  const portIndexes = new Map<string, number>();
  const rules: FlatRule[] = [];
  let hasFamily = false;
  let hasPass = false;

  const numbered = (key: string, members: readonly string[]): number => {
    const known = indexes.get(key);
    if (known !== undefined) return known;
    const index = sets.length;
    indexes.set(key, index);
    setKeys.push(key);
    sets.push(members);
    return index;
  };
  const side = (table: ResolvedTable, rule: Rule, match: AddressMatch): SideCondition => {
    const used = match.addressSets.map((name) => {
      const set = table.sets.get(name);
      if (set === undefined) {
        throw new AgentError('E_HELD', `rule ${rule.id} names address set "${name}", which does not exist`, { object: `RuleTable/${table.name}` });
      }
      return numbered(set.key, set.members);
    });
    if (match.addresses.length > 0) used.push(numbered(literalKey(match.addresses), match.addresses));
    return { any: used.length === 0, not: match.not, sets: [...new Set(used)].sort((a, b) => a - b) };
  };

  for (const table of tables) {
    const section = sectionIndex(table);
    for (const rule of table.rules) {
      let ports = -1;
      if (rule.sourcePorts.length > 0) {
        const key = rule.sourcePorts.map((range) => `${range.first}-${range.last}`).join();
        ports = portIndexes.get(key) ?? sourcePorts.length;
        if (ports === sourcePorts.length) {
          portIndexes.set(key, ports);
          sourcePorts.push(rule.sourcePorts);
        }
      }
      hasFamily ||= rule.family !== undefined;
      hasPass ||= rule.action === 'pass';
      rules.push({
        table: table.name, section, rule, sourcePorts: ports,
        source: side(table, rule, rule.source),
        destination: side(table, rule, rule.destination),
      });
    }
  }
  const flat = { rules, setKeys, sets, intervals: rules.map(({ rule }) => (options.intervals ?? ruleIntervals)(rule)), sourcePorts, hasFamily, hasPass };
  const { order = [] } = options;
  return sameKeys(setKeys, order) ? renumber(flat, order) : flat;
}

/** Index into SECTIONS. */
export function sectionIndex({ section }: ResolvedTable): number {
  return SECTIONS.indexOf(section ?? 'admin');
}

/** Begins the keys of literal addresses. Scoped names of sets hold a slash and begin with none of these. */
const LITERAL = '=';

export function literalKey(addresses: readonly string[]): string {
  return `${LITERAL}${addresses.join()}`;
}

/** Do both have the same sets at the same indexes, so that what was made of one's sets holds for the other? */
export function sameSets(a: FlatRules, b: FlatRules): boolean {
  return a.hasFamily === b.hasFamily && a.sets.length === b.sets.length && b.sets.every((members, index) => {
    const key = b.setKeys[index];
    return key === a.setKeys[index] && (members === a.sets[index] || key?.startsWith(LITERAL) === true);
  });
}

function sameKeys(keys: readonly string[], order: readonly string[]): boolean {
  const known = new Set(order);
  return keys.length === order.length && keys.every((key) => known.has(key));
}

function renumber(flat: FlatRules, order: readonly string[]): FlatRules {
  const position = new Map(order.map((key, index) => [key, index]));
  const moved = flat.setKeys.map((key) => position.get(key) ?? 0);
  const sets = [...flat.sets];
  flat.sets.forEach((members, index) => {
    sets[moved[index] ?? 0] = members;
  });
  const side = (condition: SideCondition): SideCondition =>
    (condition.sets.length === 0 ? condition : { ...condition, sets: condition.sets.map((set) => moved[set] ?? 0).sort((a, b) => a - b) });
  return {
    ...flat, setKeys: order, sets,
    rules: flat.rules.map((rule) => ({ ...rule, source: side(rule.source), destination: side(rule.destination) })),
  };
}

/** What a rule covers of the protocol and port space (see regions.ts). */
export function ruleIntervals(rule: Rule): Intervals {
  if (rule.protocol === 'any') return Uint32Array.of(0, SPACE - 1);
  const base = rule.protocol << 16;
  if (rule.icmp !== undefined) {
    const type = base | (rule.icmp.type << 8);
    return rule.icmp.code === undefined ? Uint32Array.of(type, type | 0xff) : Uint32Array.of(type | rule.icmp.code, type | rule.icmp.code);
  }
  if (rule.ports.length === 0) return Uint32Array.of(base, base | 0xffff);
  return Uint32Array.from(rule.ports.flatMap((range) => [base | range.first, base | range.last]));
}

/** True when a rule of this direction is evaluated at that side of the filter. */
export function appliesIn(ruleDirection: Direction, direction: 'in' | 'out'): boolean {
  return ruleDirection === 'inout' || ruleDirection === direction;
}

/** Does an address that is in exactly `members` (ascending set indexes) meet the condition? */
export function meets(condition: SideCondition, members: readonly number[]): boolean {
  if (condition.any) return true;
  return condition.sets.some((set) => members.includes(set)) !== condition.not;
}
