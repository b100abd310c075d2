/**
 * Random policies of every kind, real packets: what the kernel does must be what the policy oracle says, and what trace says; also
 * after random edits, with the connections of before.
 *
 *   DFW_POLICY_SETS=1000 DFW_POLICY_SEED=1 npx vitest run --project netns test/netns/policy-property.test.ts
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { AgentClient } from '../../src/api/client.js';
import type { DesiredObject } from '../../src/model/objects.js';
import { connectionKey, type GeneratedPacket } from '../oracle/generate.js';
import { edit, generateObjects } from '../oracle/policy-generate.js';
import { NODE, type PolicyPlan } from '../oracle/policy-inventory.js';
import { generatePackets } from '../oracle/policy-packets.js';
import { WORKLOADS } from '../oracle/policy-plan.js';
import { describeObjects, shrinkObjectsAsync } from '../oracle/policy-shrink.js';
import type { PolicyWorld } from '../oracle/policy-world.js';
import { PROTOCOL } from '../oracle/packet.js';
import { Random } from '../oracle/random.js';
import { Agent } from '../support/agent.js';
import { flushConntrack } from '../support/kernel.js';
import { createWorld, type World } from '../support/netns.js';
import { comparePackets, comparePolicyTrace, worldDocuments } from '../support/policy-differential.js';
import { startProbe, type Probe } from '../support/probe/probe.js';

const SETS = Number(process.env['DFW_POLICY_SETS'] ?? 20);
const FIRST_SEED = Number(process.env['DFW_POLICY_SEED'] ?? 1);
const EDITS = 2;
const PACKETS = 40;

let world: World;
let plan: PolicyPlan;
let probe: Probe;
let agent: Agent;
let client: AgentClient;

beforeAll(async () => {
  world = await createWorld({ workloads: WORKLOADS.map((name) => ({ name, interface: `veth-${name}` })), outside: true });
  plan = { ...world.plan, interfaceOf: (workload) => world.workload(workload).interface };
  probe = await startProbe(world);
  agent = await Agent.run(world, { config: { node: NODE, cluster: 'default' } });
  client = await agent.client();
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

const asWorld = (objects: readonly DesiredObject[]): PolicyWorld => ({ objects, node: NODE, cluster: 'default' });

async function load(objects: readonly DesiredObject[]): Promise<void> {
  await agent.write('world.yaml', worldDocuments(objects));
  const { errors, realized } = await client.sync(20_000);
  if (!realized || errors.length > 0) throw new Error(`not in force: ${JSON.stringify(errors)}`);
}

/** The switch's own tracker knows SCTP without ports: between two hosts there is one connection, and its other direction are replies. */
function withoutSharedConnections(before: readonly GeneratedPacket[], packets: readonly GeneratedPacket[]): GeneratedPacket[] {
  const pair = ({ packet }: GeneratedPacket): string => [packet.source, packet.destination].sort().join();
  const seen = new Set(before.filter(({ packet }) => packet.protocol === PROTOCOL.sctp).map(pair));
  return packets.filter((sent) => {
    if (sent.packet.protocol !== PROTOCOL.sctp) return true;
    const known = seen.has(pair(sent));
    seen.add(pair(sent));
    return !known;
  });
}

/** The case made small, and all there is to know to run it again. */
async function report(title: string, objects: readonly DesiredObject[], sent: readonly GeneratedPacket[], texts: readonly string[]): Promise<string> {
  const fails = async (smaller: readonly DesiredObject[]): Promise<boolean> => {
    await load(smaller);
    await flushConntrack(world);
    return (await comparePackets(plan, asWorld(smaller), probe, sent.slice(0, 1))).length > 0;
  };
  // A mismatch that goes away with the connections forgotten is about connections: then the whole case is shown.
  const repeats = await fails(objects);
  const small = repeats ? await shrinkObjectsAsync(objects, fails, 150) : objects;
  return [`${title}${repeats ? '' : ' (only with the connections or the objects of before)'}`, ...texts.slice(0, 3), describeObjects(small)].join('\n');
}

it(`judges ${SETS} random sets of policies x ${PACKETS} packets as the oracle does, each edited ${EDITS} times`, { timeout: Math.max(180_000, SETS * 20_000) }, async () => {
  const failures: string[] = [];
  let judged = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SETS && failures.length < 3; seed += 1) {
    const random = new Random(seed);
    let objects: readonly DesiredObject[] = [];
    let before: readonly GeneratedPacket[] = [];
    await flushConntrack(world);
    for (let round = 0; round <= EDITS && failures.length < 3; round += 1) {
      objects = round === 0 ? generateObjects(random, plan) : edit(random, plan, objects);
      await load(objects);
      const generated = generatePackets(random, plan, asWorld(objects), PACKETS);
      const fresh = world.ovs === undefined ? generated : withoutSharedConnections(before, generated);
      const known = new Set(before.map(({ packet }) => connectionKey(packet)));
      const packets = [...before, ...fresh.filter(({ packet }) => !known.has(connectionKey(packet)))];
      judged += packets.length;
      const title = `seed ${seed}, edit ${round}`;
      const found = await comparePackets(plan, asWorld(objects), probe, packets);
      const traced = await comparePolicyTrace(plan, asWorld(objects), { trace: (request) => client.trace(request), rules: (filter) => client.getRules(filter, false) }, fresh, plan.interfaceOf);
      if (traced.length > 0) failures.push([title, ...traced.slice(0, 2), describeObjects(objects)].join('\n'));
      if (found.length > 0) {
        failures.push(await report(title, objects, found.map(({ sent }) => sent), found.map(({ text }) => text)));
        break;
      }
      before = fresh;
    }
  }
  expect(failures.join('\n\n')).toBe('');
  expect(judged).toBeGreaterThan(SETS * PACKETS * EDITS * 0.8);
});
