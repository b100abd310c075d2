/**
 * Random policies of every kind, resolved by the engine and compiled, against the policy oracle: every packet at every filter that it
 * passes is decided by the rule that the oracle names; fresh, and after random edits one after the other.
 *
 *   DFW_POLICY_SETS=20000 DFW_POLICY_SEED=1 npx vitest run --project unit test/unit/compile/policy/policy-property.test.ts
 */
import { expect, it } from 'vitest';
import { objectKey, type DesiredObject } from '../../../../src/model/objects.js';
import { describePacket } from '../../../oracle/packet.js';
import { describeDecision, describeStep, sameDecision } from '../../../oracle/policy-decision.js';
import { edit, generateObjects } from '../../../oracle/policy-generate.js';
import { NAMESPACES, NODE } from '../../../oracle/policy-inventory.js';
import { isHeld, oracleOf } from '../../../oracle/policy-oracle.js';
import { generatePackets, pathOf } from '../../../oracle/policy-packets.js';
import { EXAMPLE_PLAN as plan } from '../../../oracle/policy-plan.js';
import { describeObjects, shrinkObjects } from '../../../oracle/policy-shrink.js';
import type { GeneratedPacket } from '../../../oracle/generate.js';
import type { PolicyWorld } from '../../../oracle/policy-world.js';
import { Random } from '../../../oracle/random.js';
import { EngineHost } from './engine-host.js';

const SETS = Number(process.env['DFW_POLICY_SETS'] ?? 16);
const FIRST_SEED = Number(process.env['DFW_POLICY_SEED'] ?? 1);
const EDITS = 3;
const PACKETS = 40;

const worldOf = (objects: readonly DesiredObject[]): PolicyWorld => ({ objects, node: NODE, cluster: 'default' });
const fresh = (): EngineHost => new EngineHost(plan.host, 'default');

/** What the engine decides otherwise, at each filter by itself: whatever the filter before it said. */
function differences(host: EngineHost, objects: readonly DesiredObject[], packets: readonly GeneratedPacket[]): { readonly sent: GeneratedPacket; readonly text: string }[] {
  const judge = oracleOf(worldOf(objects));
  return packets.flatMap((sent) => {
    const path = pathOf(plan, sent);
    return [{ from: path.from }, { to: path.to }].flatMap((half) => {
      const [step] = judge(sent.packet, half).steps;
      if (step === undefined) return [];
      const decision = host.decide(step.filter, step.direction, sent.packet);
      const expected = describeStep(step);
      const named = expected.split(' ').length > 3;
      const got = describeDecision(step.direction, decision.action, decision.table, decision.ruleId, named ? decision.policy?.rule : undefined);
      return sameDecision(expected, got) ? [] : [{ sent, text: `${step.filter}: ${describePacket(sent.packet)}\n  expected ${expected}\n  got      ${got}` }];
    });
  });
}

function report(seed: number, history: readonly (readonly DesiredObject[])[], found: ReturnType<typeof differences>): string {
  const packets = found.slice(0, 1).map(({ sent }) => sent);
  const now = history.at(-1) ?? [];
  const fails = (before: readonly (readonly DesiredObject[])[], objects: readonly DesiredObject[]): boolean => {
    const host = fresh();
    for (const earlier of [...before, objects]) host.apply(earlier);
    return differences(host, objects, packets).length > 0;
  };
  const alone = fails([], now);
  const small = alone ? shrinkObjects(now, (objects) => fails([], objects)) : now;
  return [
    `seed ${seed}, after ${history.length - 1} edits${alone ? '' : ' (not when the engine starts with these objects)'}`, ...found.slice(0, 2).map(({ text }) => text),
    alone ? describeObjects(small) : history.slice(-2).map(describeObjects).join('\n--- then ---\n'),
  ].join('\n');
}

it(`decides as the oracle does, for ${SETS} random sets of policies, each edited ${EDITS} times`, { timeout: Math.max(120_000, SETS * 5_000) }, () => {
  const failures: string[] = [];
  let judged = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SETS && failures.length < 3; seed += 1) {
    const random = new Random(seed);
    const host = fresh();
    const history: (readonly DesiredObject[])[] = [];
    for (let round = 0; round <= EDITS; round += 1) {
      const objects = history.length === 0 ? generateObjects(random, plan) : edit(random, plan, history.at(-1) ?? []);
      history.push(objects);
      host.apply(objects);
      const held = host.problems.map(({ object, message }) => `${object}: ${message}`);
      expect(held, `seed ${seed}`).toEqual([]);
      const packets = generatePackets(random, plan, worldOf(objects), PACKETS);
      judged += packets.length;
      const found = differences(host, objects, packets);
      if (found.length === 0) continue;
      failures.push(report(seed, history, found));
      break;
    }
  }
  expect(failures.join('\n\n')).toBe('');
  expect(judged).toBeGreaterThan(SETS * PACKETS * EDITS);
});

/** What policies of the generator's dangling mode name. */
const MISSING: readonly DesiredObject[] = [
  { kind: 'Tier', metadata: { name: 'tier-nowhere', labels: {} }, priority: 77, description: '' },
  { kind: 'Group', metadata: { name: 'sg-nowhere', labels: {} }, criteria: [[{ object: 'Pod', key: 'Tag', operator: 'Exists', values: ['app'] }]], addresses: [], workloads: [], groups: [] },
  ...[undefined, ...NAMESPACES].map((namespace): DesiredObject => ({
    kind: namespace === undefined ? 'ClusterGroup' : 'AntreaGroup', metadata: { name: 'g-nowhere', labels: {}, ...(namespace === undefined ? {} : { namespace }) },
    selection: { podSelector: { matchLabels: { team: 'a' }, matchExpressions: [] } }, ipBlocks: [], childGroups: [],
  })),
];

it('holds policies that name what does not exist, whole, until it does; and does not let go of what is in use', { timeout: 120_000 }, () => {
  let held = 0;
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = new Random(seed);
    const objects = generateObjects(random, plan, { dangling: true });
    const packets = generatePackets(random, plan, worldOf(objects), PACKETS);
    const host = fresh();
    const check = (step: string, as: readonly DesiredObject[]): void => {
      expect(differences(host, as, packets).map(({ text }) => text).slice(0, 2), `seed ${seed}, ${step}\n${describeObjects(as)}`).toEqual([]);
    };
    host.apply(objects);
    expect(new Set(host.problems.map(({ object }) => object)), `seed ${seed}`).toEqual(new Set(objects.filter((object) => isHeld(worldOf(objects), object)).map(objectKey)));
    held += host.problems.length;
    check('without', objects);
    const whole = [...objects, ...MISSING];
    host.apply(whole);
    expect(host.problems, `seed ${seed}`).toEqual([]);
    check('with', whole);
    host.apply(objects);
    check('without again', whole);
  }
  expect(held).toBeGreaterThan(20);
});
