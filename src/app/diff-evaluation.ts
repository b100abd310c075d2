/**
 * What would be in force if these were the desired objects: a throw-away evaluation beside the one that is in force, with the same
 * parts. It costs what the first apply of all objects costs, in portions, and the memory of it while it lasts.
 */
import type { QuarantineTables } from '../compile/compiler.js';
import { EffectiveTables, type EffectiveTable } from '../compile/effective.js';
import { isInventory } from '../compile/policy/population.js';
import type { PolicyEngine } from '../compile/policy/policy-engine.js';
import { WorldState, type FilterNumbers, type ObjectChange, type Problem, type World } from '../compile/world.js';
import type { DesiredObject, RuleTableObject } from '../model/objects.js';
import { POLICY_KINDS } from '../model/policy-objects.js';
import { Turns } from '../platform/turns.js';

export interface EvaluationInput {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  /** Versions that are in force now and stay so where the desired one cannot be: policies, groups and tiers. */
  readonly restored: readonly DesiredObject[];
  /** The same for rule tables. */
  readonly restoredTables: readonly EffectiveTable[];
  /** Fresh. */
  readonly engine: PolicyEngine;
  readonly numbers: FilterNumbers;
  readonly hostAddresses: readonly string[];
  /** Is in force whatever is desired. */
  readonly quarantine?: QuarantineTables;
}

export interface Evaluation {
  readonly world: World;
  /** Rule tables in order of evaluation, by filter name; absent = none in force. */
  readonly tables: ReadonlyMap<string, readonly EffectiveTable[]>;
  readonly problems: readonly Problem[];
}

/** Objects that are taken in at once; filters come one by one: the first ones fill the address sets. */
const CHUNK = 200;

export async function evaluateObjects({ objects, restored, restoredTables, engine, numbers, hostAddresses, quarantine }: EvaluationInput): Promise<Evaluation> {
  const turns = new Turns();
  const state = new WorldState(numbers);
  engine.setHostAddresses(hostAddresses);
  const stages = inStages(objects);
  engine.restore(restored);
  for (const stage of ['inventory', 'groups', 'policies'] as const) {
    // Groups hold each other's versions back, so all come at once.
    const size = stage === 'groups' ? Math.max(1, stages.groups.length) : CHUNK;
    for (let at = 0; at < stages[stage].length; at += size) {
      const changes = stages[stage].slice(at, at + size);
      state.update(changes);
      engine.update(changes, [], true);
      await turns.breathe();
    }
  }
  const world = state.update(stages.rest);
  for (let count = 1; count <= world.filters.length; count += 1) {
    engine.update([], world.filters.slice(0, count), true);
    await turns.breathe();
  }
  engine.update(stages.rest, world.filters);
  return { world, ...choose(world, engine, restoredTables, quarantine ?? (() => [])) };
}

function choose(
  world: World, engine: PolicyEngine, restoredTables: readonly EffectiveTable[], quarantine: QuarantineTables,
): Pick<Evaluation, 'tables' | 'problems'> {
  const effective = new EffectiveTables();
  effective.restore(restoredTables);
  const used = new Map<string, RuleTableObject>(world.filters.flatMap((filter) => filter.tables.map((table): [string, RuleTableObject] => [table.metadata.name, table])));
  const own = effective.update(used.values(), world.addressSets);
  const tables = new Map<string, readonly EffectiveTable[]>();
  for (const filter of world.filters) {
    const first = filter.tables.flatMap((table) => own.tables.get(table.metadata.name) ?? []);
    const chosen = engine.tables(filter.name);
    const alone = first.length === 0 && chosen === undefined;
    const list = [...quarantine(filter, alone), ...first, ...(chosen ?? [])];
    if (!alone || list.length > 0) tables.set(filter.name, list);
  }
  return { tables, problems: [...world.problems, ...engine.problems, ...own.problems] };
}

/** What others depend on first: then nothing is resolved twice. */
function inStages(objects: ReadonlyMap<string, DesiredObject>): Record<'inventory' | 'groups' | 'policies' | 'rest', ObjectChange[]> {
  const stages: ReturnType<typeof inStages> = { inventory: [], groups: [], policies: [], rest: [] };
  for (const [key, after] of objects) {
    const stage = isInventory(after) ? 'inventory' : isPolicy(after) ? 'policies' : NAMED.has(after.kind) ? 'groups' : 'rest';
    stages[stage].push({ key, after });
  }
  return stages;
}

const NAMED: ReadonlySet<string> = new Set<DesiredObject['kind']>(['Tier', 'ClusterGroup', 'AntreaGroup', 'Group']);

function isPolicy(object: DesiredObject): boolean {
  return Object.hasOwn(POLICY_KINDS, object.kind);
}
