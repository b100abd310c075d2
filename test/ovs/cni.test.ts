/** Pods that come through the CNI plugin to a switch: ADD waits for the port and its flows. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { CniRuntime, type CniPod } from '../support/cni.js';
import { eventually } from '../support/command.js';
import { createWorld, type World } from '../support/netns.js';

const ROUNDS = 10;

let world: World;
let agent: Agent;
let runtime: CniRuntime;

const podObject = (pod: CniPod): unknown => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name: pod.name, namespace: pod.namespace }, spec: { nodeName: 'host-1' }, status: { phase: 'Running', podIP: pod.ipv4 },
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  world = await createWorld({ workloads: 0, outside: true, datapath: 'ovs' });
  agent = await Agent.prepare(world, {
    manifests: {
      'policies.yaml': [
        ...['locked', 'plain'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
        { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'nothing', namespace: 'locked' }, spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } },
      ],
    },
  });
  await agent.configure('cni', { socket: join(agent.directory, 'cni.sock') });
  await agent.start();
  runtime = await CniRuntime.start(world, join(agent.directory, 'cni.sock'));
});
afterAll(() => world.close());
afterEach(() => runtime.removeAll());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

it(`what begins after ADD never gets a packet through against its policy, ${ROUNDS} times of ${ROUNDS}`, async () => {
  const leaks: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const pod = await runtime.sandbox('locked');
    const result = await runtime.connect(pod);
    expect(await runtime.plugin('ADD', pod, result)).toMatchObject({ code: 0, answer: result });
    await runtime.send(pod);
    if (round % 2 === 0) {
      await agent.write('pod.yaml', [podObject(pod)]);
      await agent.sync();
    }
    await pause(50);
    const { sent, arrived, received } = await runtime.stop(pod);
    expect(sent).toBeGreaterThan(5);
    if (arrived > 0 || received > 0) leaks.push(`${pod.name}: ${arrived} out, ${received} in`);
    expect((await runtime.plugin('DEL', pod, result)).code).toBe(0);
    await runtime.remove(pod);
  }
  expect(leaks).toEqual([]);
});

it('a pod without a policy gets its traffic with its object', async () => {
  const pod = await runtime.sandbox('plain');
  const result = await runtime.connect(pod);
  expect((await runtime.plugin('ADD', pod, result)).code).toBe(0);
  await runtime.send(pod);
  await pause(200);
  expect(await runtime.look(pod)).toMatchObject({ arrived: 0, received: 0 });
  await agent.write('pod.yaml', [podObject(pod)]);
  await eventually('traffic passes both ways', async () => {
    const { arrived, received } = await runtime.look(pod);
    return arrived > 5 && received > 5 ? true : undefined;
  });
});

it('ADD fails for an interface that is no port of the switch', async () => {
  const pod = await runtime.sandbox('plain');
  const result = await runtime.connect(pod);
  await world.ovs?.vsctl('del-port', 'br-int', pod.interface);
  const refused = await eventually('the agent knows', async () => {
    const { code, answer } = await runtime.plugin('ADD', pod, result, { config: { timeoutMs: 400 } });
    return code === 1 ? answer : undefined;
  });
  expect(refused).toMatchObject({ code: 102, msg: expect.stringContaining('the switch has no port') as string });
});
