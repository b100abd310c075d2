/**
 * Which version of each rule table is in force. A table that names an address set which does not exist is held: its last
 * good version stays, with the members its sets had then; one that never was good is left out, and the filter's other
 * tables stand.
 */
import type { AddressSetObject, RuleTableObject } from '../model/objects.js';
import { objectKey } from '../model/objects.js';
import type { Problem } from './world.js';

/** Parts of the order of evaluation: a rule with action `pass` goes on with the first table of the next one. */
export const SECTIONS = ['quarantine', 'admin', 'kubernetes', 'baseline'] as const;
export type Section = (typeof SECTIONS)[number];

/** A rule table with the members of every set that it names. The same object as long as neither changes. */
export interface EffectiveTable {
  readonly table: RuleTableObject;
  /** Absent = admin: rule tables. */
  readonly section?: Section;
  /** By the name that rules use. */
  readonly sets: ReadonlyMap<string, EffectiveSet>;
}

export interface EffectiveSet {
  /** Scoped: "table name" for a table's own sets, "/name" for AddressSet objects, "//name" for what policies select: no two sets share one, as names begin with a letter or digit and hold no spaces. */
  readonly key: string;
  readonly members: readonly string[];
  /** How `members` came from an earlier list, where that is known. */
  readonly change?: { readonly base: readonly string[]; readonly added: readonly string[]; readonly removed: readonly string[] };
}

export class EffectiveTables {
  private readonly lastGood = new Map<string, EffectiveTable>();

  /** Versions that are in force elsewhere: what a table that is held falls back to. Before the first update. */
  restore(tables: Iterable<EffectiveTable>): void {
    for (const table of tables) this.lastGood.set(table.table.metadata.name, table);
  }

  /** The effective version of each of these tables, by name; problems for those that are held. */
  update(tables: Iterable<RuleTableObject>, shared: ReadonlyMap<string, AddressSetObject>): { tables: ReadonlyMap<string, EffectiveTable>; problems: Problem[] } {
    const problems: Problem[] = [];
    const effective = new Map<string, EffectiveTable>();
    for (const table of tables) {
      const { name } = table.metadata;
      const sets = new Map<string, EffectiveSet>();
      const missing = resolve(table, shared, sets);
      const before = this.lastGood.get(name);
      if (missing !== undefined) {
        problems.push({ object: objectKey(table), path: missing.path, message: `held: rule ${missing.rule} names address set "${missing.set}", which does not exist` });
        if (before !== undefined) effective.set(name, before);
        continue;
      }
      const same = before !== undefined && before.table === table && before.sets.size === sets.size
        && [...sets].every(([key, set]) => before.sets.get(key)?.members === set.members && before.sets.get(key)?.key === set.key);
      const current = same ? before : { table, sets };
      effective.set(name, current);
      this.lastGood.set(name, current);
    }
    for (const name of this.lastGood.keys()) if (!effective.has(name)) this.lastGood.delete(name);
    return { tables: effective, problems };
  }
}

interface Missing {
  readonly rule: number;
  readonly set: string;
  readonly path: string;
}

/** Fills `sets`; returns the first set that does not exist. */
function resolve(table: RuleTableObject, shared: ReadonlyMap<string, AddressSetObject>, sets: Map<string, EffectiveSet>): Missing | undefined {
  const own = new Map(table.addressSets.map((set) => [set.name, set.addresses]));
  for (const [list, rules] of [['rules', table.rules], ['layer2Rules', table.layer2Rules]] as const) {
    for (const [index, rule] of rules.entries()) {
      for (const side of ['source', 'destination'] as const) {
        for (const name of rule[side].addressSets) {
          if (sets.has(name)) continue;
          const local = own.get(name);
          const members = local ?? shared.get(name)?.addresses;
          if (members === undefined) return { rule: rule.id, set: name, path: `spec.${list}[${index}].${side}.addressSets` };
          sets.set(name, { key: local === undefined ? `/${name}` : `${table.metadata.name} ${name}`, members });
        }
      }
    }
  }
  return undefined;
}
