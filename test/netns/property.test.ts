/**
 * Random rule tables, real packets: what the kernel does must be what the oracle says, and what trace says.
 *
 *   DFW_PROPERTY_TABLES=5000 DFW_PROPERTY_SEED=1 npx vitest run --project netns test/netns/property.test.ts
 *
 * Every second table keeps the connections of the one before it and sends that one's packets again: a changed table
 * binds what it had admitted. Every third one then changes its address sets only.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { AgentClient } from '../../src/api/client.js';
import { changeSets, connectionKey, generateCase, type GeneratedPacket } from '../oracle/generate.js';
import type { ExpectedPolicy } from '../oracle/expectation.js';
import { Random } from '../oracle/random.js';
import { Agent } from '../support/agent.js';
import { compare, compareTrace, describeMismatch, describePolicy, policyDocuments, shrink, type Mismatch } from '../support/differential.js';
import { flushConntrack } from '../support/kernel.js';
import { workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { PATIENCE } from '../support/patience.js';
import { startProbe, type Probe } from '../support/probe/probe.js';

const TABLES = Number(process.env['DFW_PROPERTY_TABLES'] ?? 200);
const FIRST_SEED = Number(process.env['DFW_PROPERTY_SEED'] ?? 1);
const PACKETS = 50;

let world: World;
let probe: Probe;
let agent: Agent;
let client: AgentClient;

beforeAll(async () => {
  world = await createWorld({ workloads: 4, outside: true });
  probe = await startProbe(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world) } });
  client = await agent.client();
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

async function load(policy: ExpectedPolicy): Promise<void> {
  await agent.write('policy.yaml', policyDocuments(policy));
  const { errors, realized } = await client.sync(20_000 * PATIENCE);
  if (!realized || errors.length > 0) throw new Error(`not in force: ${JSON.stringify(errors)}\n${describePolicy(policy)}`);
}

/** The case made small, and all there is to know to run it again. */
async function report(seed: number, policy: ExpectedPolicy, mismatches: readonly Mismatch[]): Promise<string> {
  const packets = mismatches.slice(0, 3).map((mismatch) => mismatch.sent);
  const fails = async (smaller: ExpectedPolicy): Promise<boolean> => {
    await load(smaller);
    await flushConntrack(world);
    return (await compare(world.plan, smaller, probe, packets)).length > 0;
  };
  // A mismatch that goes away with the connections forgotten is about connections: then the whole case is shown.
  const repeats = await fails(policy);
  const small = repeats ? await shrink(policy, fails) : policy;
  return [
    `seed ${seed}${repeats ? '' : ' (only with the connections of the seed before)'}: ${mismatches.length} packets differ`,
    describePolicy(small),
    ...mismatches.slice(0, 3).map(describeMismatch),
    `again: DFW_PROPERTY_SEED=${seed - 1} DFW_PROPERTY_TABLES=2`,
  ].join('\n');
}

it(`judges ${TABLES} random tables x ${PACKETS} packets as the oracle does`, { timeout: Math.max(180_000, TABLES * 3_000) * PATIENCE }, async () => {
  const failures: string[] = [];
  let judged = 0;
  let before: readonly GeneratedPacket[] = [];
  for (let seed = FIRST_SEED; seed < FIRST_SEED + TABLES && failures.length < 3; seed += 1) {
    const made = generateCase(seed, world.plan, { packets: PACKETS });
    let policy: ExpectedPolicy = { tables: made.tables, sharedSets: made.sharedSets, failurePolicy: 'closed' };
    const keep = seed % 2 === 0;
    if (!keep) await flushConntrack(world);
    await load(policy);
    const known = new Set(keep ? before.map(({ packet }) => connectionKey(packet)) : []);
    const packets = [...(keep ? before : []), ...made.packets.filter(({ packet }) => !known.has(connectionKey(packet)))];
    let mismatches = await compare(world.plan, policy, probe, packets);
    judged += packets.length;
    if (mismatches.length === 0 && seed % 3 === 0) {
      // Only the sets change: the same connections, judged by the sets as they are now.
      policy = { ...policy, tables: changeSets(new Random(seed), world.plan, policy.tables) };
      await load(policy);
      mismatches = await compare(world.plan, policy, probe, packets);
      judged += packets.length;
    }
    const traces = await compareTrace(world.plan, policy, (request) => client.trace(request), made.packets, (name) => world.workload(name).interface);
    if (traces.length > 0) failures.push([`seed ${seed}`, describePolicy(policy), ...traces.slice(0, 3)].join('\n'));
    before = made.packets;
    if (mismatches.length > 0) {
      failures.push(await report(seed, policy, mismatches));
      before = [];
    }
  }
  expect(failures.join('\n\n')).toBe('');
  expect(judged).toBeGreaterThanOrEqual(TABLES * (PACKETS - 15));
});
