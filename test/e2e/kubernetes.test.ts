/** An agent whose desired state comes from the Kubernetes API: pods, policies and filters, and a server that is not always there. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { WorldServer } from '../support/api-server/world-server.js';
import { eventually } from '../support/command.js';
import { podManifests, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { PATIENCE } from '../support/patience.js';
import { startReach, type Reach } from '../support/probe/reach.js';
import { ServiceManager } from '../support/service-manager.js';

interface Status { readonly realized: boolean; readonly filters: number; readonly sources: { type: string; synced: boolean; errors: { object: string; path: string }[] }[]; readonly degraded: { reason: string; since: string }[] }

let world: World;
let cluster: WorldServer;
let agent: Agent;
let reach: Reach;

const policy = (ports: readonly number[]): Manifest => ({
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'web', namespace: 'shop' },
  spec: { podSelector: { matchLabels: { pod: 'web' } }, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: { matchLabels: { pod: 'client' } } }], ports: ports.map((port) => ({ protocol: 'TCP', port })) }] },
});
const verdict = async (from: string, port: number): Promise<string> => (await reach.probe([{ protocol: 'tcp', from, address: world.workload('web').ipv4, port, expected: 'Con' }]))[0] ?? 'Drp';
const becomes = async (from: string, port: number, expected: string): Promise<void> => {
  await eventually(`${from} to ${port}: ${expected}`, async () => ((await verdict(from, port)) === expected ? true : undefined), 15_000 * PATIENCE, 100);
};
const status = async (): Promise<Status> => agent.ask<Status>('status');

beforeAll(async () => {
  world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }, { name: 'other' }] });
  cluster = await WorldServer.create(world);
  await cluster.write('inventory', podManifests('shop', world.workloads));
  await cluster.write('policies', [policy([80])]);
  agent = await Agent.prepare(world, { config: { sources: [{ type: 'kubernetes', kubeconfig: cluster.kubeconfig }] } });
  reach = await startReach(world);
  for (const { name, netns } of world.workloads) await reach.endpoint(name, netns);
  await reach.listen('web', 'tcp', [80, 81]);
  await agent.start();
});
afterAll(async () => world.close());

describe('desired state from the Kubernetes API', () => {
  it('enforces pods and policies, and follows changes without being told to', async () => {
    expect(await verdict('client', 80)).toBe('Con');
    expect(await verdict('client', 81)).toBe('Drp');
    expect(await verdict('other', 80)).toBe('Drp');
    await cluster.write('policies', [policy([81])]);
    await becomes('client', 81, 'Con');
    expect(await verdict('client', 80)).toBe('Drp');
    expect((await status()).sources.slice(0, 2)).toMatchObject([{ type: 'kubernetes', synced: true, errors: [] }, { type: 'agent' }]);
    expect((await status()).degraded).toEqual([]);
  });

  it('tells what was refused, in status and in the object itself, and keeps the last good version', async () => {
    const table = (action: string): Manifest => ({ apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name: 'guard' }, spec: { appliedTo: { workloads: [{ kind: 'Pod', namespace: 'shop', name: 'web' }] }, rules: [{ id: 77, direction: 'in', protocol: 'tcp', ports: ['81'], action }] } });
    await cluster.write('guard', [table('drop')]);
    await becomes('client', 81, 'Drp');
    await cluster.write('guard', [table('nonsense')]);
    await eventually('the refusal', async () => ((await status()).sources[0]?.errors.some(({ object, path }) => object === 'RuleTable/guard' && path === 'spec.rules[0].action') === true ? true : undefined), 10_000 * PATIENCE, 100);
    expect(await verdict('client', 81)).toBe('Drp');
    await eventually('the condition', async () => (JSON.stringify(cluster.server.get('dfw.dev/v1', 'RuleTable', 'guard')?.['status'] ?? '').includes('"status":"False"') ? true : undefined), 10_000 * PATIENCE, 100);
    await cluster.write('guard', []);
    await becomes('client', 81, 'Con');
  });

  it('enforces while the API server is away, says so, and catches up', async () => {
    await cluster.server.stop();
    await eventually('it is said', async () => ((await status()).degraded.some(({ reason }) => reason.startsWith('source kubernetes: the API server cannot be reached')) ? true : undefined), 15_000 * PATIENCE, 100);
    const [trouble] = (await status()).degraded;
    expect(Date.now() - Date.parse(trouble?.since ?? '')).toBeLessThan(60_000);
    expect(await verdict('client', 81)).toBe('Con');
    expect(await verdict('client', 80)).toBe('Drp');
    await cluster.write('policies', [policy([80])]);
    await cluster.server.start();
    await becomes('client', 80, 'Con');
    await eventually('all is well', async () => ((await status()).degraded.length === 0 ? true : undefined), 45_000 * PATIENCE, 200);
  });

  it('starts without the API server from what was stored, killed or stopped, and takes nothing back', async () => {
    for (const crash of [false, true]) {
      // What came last is enforced: so it is stored.
      if (crash) await agent.kill();
      else await agent.stop();
      await cluster.server.stop();
      await agent.start();
      const now = await status();
      expect(now).toMatchObject({ realized: true, filters: 3 });
      expect(now.sources[0]).toMatchObject({ type: 'kubernetes', synced: false });
      expect((await status()).degraded.map(({ reason }) => reason).join()).toMatch(/in force is what was stored at 20/);
      expect(await verdict('client', 80)).toBe('Con');
      expect(await verdict('client', 81)).toBe('Drp');
      expect(await verdict('other', 80)).toBe('Drp');
      await cluster.write('policies', [policy([81])]);
      await cluster.server.start();
      await becomes('client', 81, 'Con');
      await cluster.write('policies', [policy([80])]);
      await becomes('client', 80, 'Con');
    }
  });

  it('without anything stored it touches nothing until the API server is there, and says what it waits for', async () => {
    await agent.stop();
    await cluster.server.stop();
    await rm(join(agent.stateDir, 'kubernetes'), { recursive: true });
    const manager = await ServiceManager.listen(join(agent.directory, 'notify'), world.cleanup);
    agent.launch(manager.environment);
    const waiting = await eventually('the agent says what it waits for', async () => {
      const answer = await agent.agentctl('status', '-o', 'json');
      if (answer.code !== 0) return undefined;
      const view = answer.json() as Status;
      return view.degraded.length > 0 ? view : undefined;
    }, 15_000 * PATIENCE, 100);
    expect(waiting).toMatchObject({ realized: false, degraded: [{ reason: expect.stringContaining('cannot be reached') as unknown }] });
    expect(await verdict('client', 80)).toBe('Con');
    expect(await verdict('other', 80)).toBe('Drp');
    // Or it would be started again and again (TimeoutStartSec=), and nobody would know why.
    await manager.hears('EXTEND_TIMEOUT_USEC=');
    await manager.hears('STATUS=waiting: kubernetes: the API server cannot be reached');
    expect(manager.heard).not.toContain('READY=1');
    await cluster.server.start();
    await eventually('it is in force', async () => ((await status()).realized ? true : undefined), 45_000 * PATIENCE, 200);
    await manager.hears('READY=1');
    expect(await verdict('client', 80)).toBe('Con');
    expect(await verdict('client', 81)).toBe('Drp');
  });
});
