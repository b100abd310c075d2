/** Whatever came before, the engine answers as one that was given today's objects (and what is held) all at once. */
import { expect, it } from 'vitest';
import type { EffectiveSet, EffectiveTable } from '../../../../src/compile/effective.js';
import { PolicyEngine } from '../../../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange } from '../../../../src/compile/world.js';
import type { DesiredObject } from '../../../../src/model/objects.js';
import { objectKey } from '../../../../src/model/objects.js';
import { NAMES, RandomObjects } from './random-objects.js';

const OPERATIONS = Number(process.env['DFW_POLICY_OPERATIONS'] ?? 1_500);
const COMPARE_EVERY = 20;
const SEED = Number(process.env['DFW_POLICY_SEED'] ?? 1);

class Numbers {
  private readonly given = new Map<string, number>();

  number(key: string): number {
    const number = this.given.get(key) ?? this.given.size + 1;
    this.given.set(key, number);
    return number;
  }
}

class Side {
  readonly engine: PolicyEngine;
  readonly world: WorldState;

  constructor(rules: Numbers, filters: Numbers, namesOf: (pattern: string) => Iterable<string>) {
    this.engine = new PolicyEngine({ numbers: rules, namesOf, cluster: 'c' });
    this.world = new WorldState(filters);
  }

  update(changes: readonly ObjectChange[]): void {
    this.engine.update(changes, this.world.update(changes).filters);
  }

  /** Lists of members that do not come from an earlier one as they say. */
  deltaFaults(): string[] {
    return this.world.update([]).filters.flatMap(({ name }) => (this.engine.tables(name) ?? []).flatMap(({ sets }) => [...sets].flatMap(([set, { members, change }]) => {
      const fault = deltaFault(members, change);
      return fault === undefined ? [] : [`${name} ${set} ${fault}`];
    })));
  }

  answer(): unknown {
    return this.world.update([]).filters.map(({ name }) => [name, this.engine.tables(name)?.map(describeTable)]);
  }

  /** What it says of itself: what is in force of every policy, and where; what is held, and why. In no order. */
  account(): unknown {
    const { patterns, filters } = this.engine.fqdnPeers();
    return {
      policies: [...this.engine.states()].map(({ object, inForce, filters: on }) => [objectKey(object), inForce, [...on].sort()]).sort(byText),
      problems: this.engine.problems.sort(byText), held: this.engine.held().sort(byText), patterns: [...patterns].sort(), naming: [...filters].sort(),
    };
  }
}

function deltaFault(members: readonly string[], change: EffectiveSet['change']): string | undefined {
  const now = new Set(members);
  if (now.size !== members.length) return 'a member twice';
  if (change === undefined) return undefined;
  const rebuilt = new Set(change.base);
  for (const address of change.removed) if (!rebuilt.delete(address)) return `removes ${address}, which was not there`;
  for (const address of change.added) {
    if (rebuilt.has(address)) return `adds ${address}, which was there`;
    rebuilt.add(address);
  }
  return rebuilt.size === now.size && members.every((address) => rebuilt.has(address)) ? undefined : 'gives other members';
}

function byText(a: unknown, b: unknown): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function describeTable({ table, section, sets }: EffectiveTable): unknown {
  return [table.metadata.name, section, table.rules, [...sets].map(([name, { key, members }]) => `${name} ${key} ${[...members].sort().join(' ')}`).sort()];
}

it(`equals a fresh engine after every ${COMPARE_EVERY} of ${OPERATIONS} changes (seed ${SEED})`, () => {
  const draw = new RandomObjects(SEED);
  const rules = new Numbers();
  const filters = new Numbers();
  const names = new Map<string, readonly string[]>();
  const namesOf = (pattern: string): readonly string[] => names.get(pattern) ?? [];
  const incremental = new Side(rules, filters, namesOf);
  const objects = new Map<string, DesiredObject>();
  let pending: ObjectChange[] = [];
  for (let operation = 1; operation <= OPERATIONS; operation += 1) {
    const after = draw.object();
    const key = objectKey(after);
    const before = objects.get(key);
    if (before !== undefined && draw.choice.chance(30)) {
      objects.delete(key);
      pending.push({ key, before });
    } else {
      objects.set(key, after);
      pending.push(before === undefined ? { key, after } : { key, before, after });
    }
    if (draw.choice.chance(5)) {
      names.set(draw.choice.pick(NAMES), draw.choice.some(2, () => `198.51.100.${draw.choice.below(5)}`));
      incremental.engine.namesChanged();
    }
    // Mostly one by one; sometimes several together.
    if (draw.choice.chance(30)) continue;
    incremental.update(pending);
    pending = [];
    if (operation % COMPARE_EVERY > 1) continue;
    const fresh = new Side(rules, filters, namesOf);
    fresh.engine.restore(incremental.engine.held());
    fresh.update([...objects].map(([each, object]) => ({ key: each, after: object })));
    expect(incremental.answer(), `after ${operation} changes`).toEqual(fresh.answer());
    expect(incremental.deltaFaults(), `after ${operation} changes`).toEqual([]);
    expect(incremental.account(), `after ${operation} changes`).toEqual(fresh.account());
  }
  // Nothing is left behind.
  incremental.update([...pending, ...[...objects].map(([key, before]) => ({ key, before }))]);
  expect(incremental.answer()).toEqual([]);
  expect(incremental.account()).toEqual({ policies: [], problems: [], held: [], patterns: [], naming: [] });
}, Math.max(600_000, OPERATIONS * 60));
