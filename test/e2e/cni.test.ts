/** Pods that come through the CNI plugin: nothing passes before their policies are in force, and everything that may passes then. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { CniRuntime, type CniPod, type PluginResult } from '../support/cni.js';
import { eventually, mustRun } from '../support/command.js';
import { ruleTable } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';

const ROUNDS = 100;

let world: World;
let agent: Agent;
let runtime: CniRuntime;

const namespaces = ['locked', 'free', 'plain'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
const podObject = (pod: CniPod): unknown => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name: pod.name, namespace: pod.namespace }, spec: { nodeName: 'host-1' }, status: { phase: 'Running', podIP: pod.ipv4 },
});
const policies = [
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'nothing', namespace: 'locked' }, spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'all', namespace: 'free' }, spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ingress: [{}], egress: [{}] } },
];
interface Shown { readonly name: string; readonly interface: string; readonly state: string; readonly mac: string; readonly addresses: readonly string[]; readonly workload: { readonly namespace: string; readonly name: string } }
const filters = async (): Promise<Shown[]> => {
  const { filters: all } = await agent.ask<{ filters: Shown[] }>('getfilters');
  return all.map(({ name, interface: device, state, mac, addresses, workload }) => ({ name, interface: device, state, mac, addresses, workload }));
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const failure = (result: PluginResult): { code?: number; msg?: string; details?: string } => result.answer as { code?: number; msg?: string; details?: string };
async function ready(pod: CniPod): Promise<{ result: unknown; added: PluginResult }> {
  const result = await runtime.connect(pod);
  const added = await runtime.plugin('ADD', pod, result);
  return { result, added };
}
const passing = (pod: CniPod): Promise<unknown> => eventually('traffic passes both ways', async () => {
  const { arrived, received } = await runtime.look(pod);
  return arrived > 5 && received > 5 ? true : undefined;
});
async function leave(pod: CniPod, result: unknown): Promise<void> {
  expect((await runtime.plugin('DEL', pod, result)).code).toBe(0);
  await runtime.remove(pod);
}

describe('pods through the CNI plugin', () => {
  beforeAll(async () => {
    world = await createWorld({ workloads: 0, outside: true });
    agent = await Agent.prepare(world, { manifests: { 'policies.yaml': [...namespaces, ...policies] } });
    await agent.configure('cni', { socket: join(agent.directory, 'cni.sock'), interfaces: ['vcni*'] });
    await agent.start();
    runtime = await CniRuntime.start(world, join(agent.directory, 'cni.sock'));
  });
  afterAll(() => world.close());
  afterEach(async () => {
    if (!agent.running) await agent.start();
    await runtime.removeAll();
    for (const name of ['pod.yaml', 'table.yaml']) await agent.remove(name).catch(() => undefined);
    await agent.sync();
  });
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  it(`a pod with a deny policy never gets a packet through, ${ROUNDS} times of ${ROUNDS}`, async () => {
    const times: number[] = [];
    const leaks: string[] = [];
    let tried = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const pod = await runtime.sandbox('locked');
      await runtime.send(pod);
      const { result, added } = await ready(pod);
      expect(added).toMatchObject({ code: 0, answer: result });
      times.push(added.ms);
      // As in a cluster: the object comes before, with or after the pod's network.
      if (round % 10 === 0) {
        await agent.write('pod.yaml', [podObject(pod)]);
        await agent.sync();
      }
      await pause(20);
      const { sent, arrived, received } = await runtime.stop(pod);
      tried += sent;
      if (arrived > 0 || received > 0) leaks.push(`${pod.name}: ${arrived} out, ${received} in`);
      await leave(pod, result);
    }
    times.sort((a, b) => a - b);
    console.log(`ADD: median ${times[ROUNDS / 2]?.toFixed(1)} ms, longest ${times.at(-1)?.toFixed(1)} ms with "ip netns exec"; ${tried} datagrams sent`);
    expect(leaks).toEqual([]);
    expect(tried).toBeGreaterThan(ROUNDS * 5);
    expect(await filters()).toEqual([]);
  });

  it('what runs before the answer to ADD gets through where interfaces are not closed before; what begins after it does not', async () => {
    await agent.configure('cni', { interfaces: [] });
    await agent.stop();
    await agent.start();
    const early = await runtime.sandbox('locked');
    await runtime.send(early);
    const result = await runtime.connect(early);
    await passing(early);
    expect((await runtime.plugin('ADD', early, result)).code).toBe(0);
    const before = await runtime.look(early);
    await pause(100);
    expect((await runtime.look(early)).arrived - before.arrived).toBeLessThanOrEqual(1); // one may be under way
    for (let round = 0; round < 20; round += 1) {
      const pod = await runtime.sandbox('locked');
      const { result: own, added } = await ready(pod);
      expect(added.code).toBe(0);
      await runtime.send(pod);
      await pause(20);
      expect(await runtime.stop(pod)).toMatchObject({ arrived: 0, received: 0 });
      await leave(pod, own);
    }
    await agent.configure('cni', { interfaces: ['vcni*'] });
    await agent.stop();
    await agent.start();
  });

  it('the table can be listed and loaded again, and a restarted agent leaves it as it is', async () => {
    const pod = await runtime.sandbox('locked');
    await ready(pod);
    for (const nft of ['nft', fileURLToPath(new URL('../../.cache/nft-1.1.3/nft', import.meta.url))]) {
      const listing = await mustRun('ip', ['netns', 'exec', world.host, nft, 'list', 'table', 'inet', 'dfw']);
      expect(listing.match(/iifname "vcni\*" iifname != @vnics counter packets \d+ bytes \d+ drop/g)).toHaveLength(2);
      expect(listing.match(/oifname "vcni\*" oifname != @vnics counter packets \d+ bytes \d+ drop/g)).toHaveLength(2);
      await mustRun('ip', ['netns', 'exec', world.host, nft, '-c', '-f', '-'], { input: `delete table inet dfw\n${listing}` });
    }
    await agent.kill();
    const lines = (await agent.log()).length;
    await agent.start();
    const events = (await agent.log()).slice(lines).map((line) => line['event']);
    expect(events).toContain('nftables.adopted');
    expect(events).not.toContain('nftables.rebuild');
  });

  it('a pod that may gets its traffic with its object, not before; and so does one without any policy', async () => {
    for (const namespace of ['free', 'plain']) {
      const pod = await runtime.sandbox(namespace);
      await runtime.send(pod);
      const { result, added } = await ready(pod);
      expect(added.code).toBe(0);
      await pause(100);
      expect(await runtime.look(pod)).toMatchObject({ arrived: 0, received: 0 });
      expect(await filters()).toMatchObject([{ interface: pod.interface, state: 'closed', mac: pod.mac, addresses: [pod.ipv4], workload: { namespace, name: pod.name } }]);
      await agent.write('pod.yaml', [podObject(pod)]);
      await passing(pod);
      await runtime.stop(pod);
      await leave(pod, result);
      await agent.remove('pod.yaml');
      await agent.sync();
    }
  });

  it('a rule table for every filter does not open a pod whose policies are not known', async () => {
    await agent.write('table.yaml', [ruleTable('everybody', { rules: [{ id: 1, direction: 'inout', protocol: 'tcp', ports: ['22'], action: 'accept' }] })]);
    const pod = await runtime.sandbox('locked');
    await runtime.send(pod);
    const { result } = await ready(pod);
    await agent.sync();
    await pause(100);
    expect(await runtime.look(pod)).toMatchObject({ arrived: 0, received: 0 });
    const { rulesets } = await agent.ask<{ rulesets: { name: string }[] }>('getrules', '-f', pod.interface);
    expect(rulesets.map(({ name }) => name)).toEqual(['everybody', 'policies-unknown']);
    await runtime.stop(pod);
    await leave(pod, result);
    await agent.remove('table.yaml');
    await agent.sync();
  });

  it('is kept over restarts of the agent, and goes with DEL; CHECK says what is so', async () => {
    const pod = await runtime.sandbox('locked');
    const { result } = await ready(pod);
    const [before] = await filters();
    await agent.kill();
    await agent.start();
    expect(await filters()).toEqual([before]);
    expect(await runtime.plugin('CHECK', pod, result)).toMatchObject({ code: 0, answer: undefined });
    expect(failure(await runtime.plugin('CHECK', { ...pod, name: 'another' }, result))).toMatchObject({ code: 102, details: 'E_CONFLICT' });
    // Twice is as once.
    expect((await runtime.plugin('ADD', pod, result)).code).toBe(0);
    expect(await filters()).toEqual([before]);
    expect((await runtime.plugin('DEL', pod, result)).code).toBe(0);
    expect((await runtime.plugin('DEL', pod, undefined, { env: { CNI_NETNS: undefined, CNI_ARGS: undefined } })).code).toBe(0);
    expect(await filters()).toEqual([]);
    expect(failure(await runtime.plugin('CHECK', pod, result))).toMatchObject({ code: 102, details: 'E_NOT_FOUND' });
    await runtime.remove(pod);
  });

  it('lets go of what the runtime forgot: by GC, and where the interface is gone', async () => {
    const [kept, forgotten, gone] = [await runtime.sandbox('locked'), await runtime.sandbox('locked'), await runtime.sandbox('locked')];
    for (const pod of [kept, forgotten, gone]) expect((await ready(pod)).added.code).toBe(0);
    const valid = [kept, gone].map(({ containerId }) => ({ containerID: containerId, ifname: 'eth0' }));
    const none = { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined, CNI_NETNS: undefined, CNI_ARGS: undefined };
    expect(failure(await runtime.plugin('GC', kept, undefined, { env: none, config: { cniVersion: '1.1.0' } }))).toMatchObject({ code: 7 });
    expect((await runtime.plugin('GC', kept, undefined, { env: none, config: { cniVersion: '1.1.0', name: 'other-network', 'cni.dev/valid-attachments': [] } })).code).toBe(0);
    expect(await filters()).toHaveLength(3);
    expect((await runtime.plugin('GC', kept, undefined, { env: none, config: { cniVersion: '1.1.0', 'cni.dev/valid-attachments': valid } })).code).toBe(0);
    expect((await filters()).map((one) => one.interface)).toEqual([kept.interface, gone.interface]);
    await runtime.remove(gone);
    expect(await filters()).toHaveLength(2);
    await eventually('the filter of the interface that is gone is, too', async () => ((await filters()).length === 1 ? true : undefined), 20_000, 200);
    await runtime.plugin('DEL', kept, undefined);
    for (const pod of [kept, forgotten]) await runtime.remove(pod);
  });

  it('an agent that is away: the pod fails, or passes where it is told to', async () => {
    const pod = await runtime.sandbox('plain');
    const result = await runtime.connect(pod);
    await agent.stop();
    const failed = await runtime.plugin('ADD', pod, result, { config: { connectMs: 100 } });
    expect(failed).toMatchObject({ code: 1, answer: { cniVersion: '1.0.0', code: 101, msg: expect.stringContaining('does not answer') as string } });
    expect(await runtime.plugin('ADD', pod, result, { config: { connectMs: 100, onAgentAway: 'pass' } })).toMatchObject({ code: 0, answer: result, stderr: expect.stringContaining('has no filter') as string });
    expect((await runtime.plugin('DEL', pod, result)).code).toBe(0);
    expect(failure(await runtime.plugin('STATUS', pod, undefined, { config: { cniVersion: '1.1.0' } }))).toMatchObject({ code: 50 });
    // One that comes back in time is waited for.
    const waiting = runtime.plugin('ADD', pod, result, { config: { connectMs: 30_000, timeoutMs: 60_000 } });
    await agent.start();
    expect((await waiting).code).toBe(0);
    expect((await runtime.plugin('STATUS', pod, undefined, { config: { cniVersion: '1.1.0' } })).code).toBe(0);
    expect(await filters()).toHaveLength(1);
    await leave(pod, result);
  });

  it('many pods at once', async () => {
    const pods: CniPod[] = [];
    for (let index = 0; index < 20; index += 1) pods.push(await runtime.sandbox('locked'));
    const results = new Map<CniPod, unknown>();
    for (const pod of pods) results.set(pod, await runtime.connect(pod));
    const added = await Promise.all(pods.map((pod) => runtime.plugin('ADD', pod, results.get(pod))));
    expect(added.map(({ code }) => code)).toEqual(pods.map(() => 0));
    expect(await filters()).toHaveLength(20);
    await Promise.all(pods.map((pod) => runtime.plugin('DEL', pod, undefined)));
    expect(await filters()).toEqual([]);
    for (const pod of pods) await runtime.remove(pod);
  });
});
