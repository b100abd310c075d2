/**
 * A thousand changes in a store whose leader is killed, whose server is restarted and set back, beneath an agent that is killed at random: no wrong
 * verdict on the way, and at the end exactly what a fresh agent enforces.
 *
 *   DFW_CHAOS_CHANGES=1000 DFW_CHAOS_SEED=7 npx vitest run --project e2e test/e2e/source-chaos.test.ts
 */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Random } from '../oracle/random.js';
import { Agent } from '../support/agent.js';
import { Changes, namespaceManifest, podManifest, CHANGING_PORTS, FIELDS, NAMESPACES, type ChaosPod } from '../support/chaos/changes.js';
import { FixedPoints, fixedManifests } from '../support/chaos/fixed.js';
import { differs, enforced, type Enforced } from '../support/chaos/followed.js';
import { History } from '../support/chaos/history.js';
import { Probes } from '../support/chaos/probes.js';
import { ChaosRun } from '../support/chaos/run.js';
import { EtcdStore, KubernetesStore, type ChaosStore } from '../support/chaos/stores.js';
import { eventually } from '../support/command.js';
import { createWorld, type World, type WorldWorkload } from '../support/netns.js';
import { PATIENCE } from '../support/patience.js';
import type { Manifest } from '../support/policies.js';
import { startReach } from '../support/probe/reach.js';
import { startTraffic } from '../support/probe/traffic.js';

/** In both stores together. A thousand take three minutes. */
const CHANGES = Number(process.env['DFW_CHAOS_CHANGES'] ?? 300);
const SEED = Number(process.env['DFW_CHAOS_SEED'] ?? 1);
const NODE = 'host-1';
/** Tables that are made because there are none: two of nf_tables, none in a switch. */
const FIRST_REBUILDS = { host: 2, switch: 0 } as const;
/** Changed as they are, before the agent knows of any. */
const FIRST_CHANGES = 40;

const podOf = ({ name, ipv4, ipv6 }: WorldWorkload): ChaosPod => {
  const [namespace = '', pod = ''] = name.split('/');
  return { namespace, name: pod, ipv4, ipv6 };
};
const attachmentName = (workload: string): string => `${workload.replace('/', '-')}-eth0`;
const attachment = ({ name, interface: device, mac }: WorldWorkload): Manifest => {
  const [namespace, pod] = name.split('/');
  return { apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: attachmentName(name) }, spec: { workload: { kind: 'Pod', namespace, name: pod }, vnic: 'eth0', interface: device, mac } };
};

/** Contacts that were wrong at last; what is wrong before fails at once. */
async function chaos(makeStore: (world: World) => Promise<ChaosStore>): Promise<readonly string[]> {
  const world = await createWorld({ workloads: ['shop/a', 'shop/b', 'shop/c', 'work/d', 'work/e', 'work/f'].map((name, index) => ({ name, interface: `pod${index}` })) });
  try {
    const random = new Random(SEED);
    const store = await makeStore(world);
    const initial = [
      ...NAMESPACES.map((name) => namespaceManifest(name, 'prod')),
      { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE }, status: { addresses: world.plan.host.map((address) => ({ type: 'InternalIP', address })) } },
      ...world.workloads.flatMap((workload) => [podManifest(podOf(workload), {}, NODE), attachment(workload)]), ...fixedManifests(),
    ];
    const changes = new Changes(random, world.workloads.map(podOf), initial);
    for (let count = 0; count < FIRST_CHANGES; count += 1) changes.next(FIELDS);
    const history = new History((document) => store.streamOf(document), NODE);
    for (const [key, document] of changes.current) {
      const change = { key, document, before: undefined };
      history.push(change);
      await store.write(change);
    }
    history.confirm(history.newest);
    const agent = await Agent.run(world, { config: { node: NODE, sources: [store.source] } });
    const [reach, traffic] = await Promise.all([startReach(world), startTraffic(world)]);
    for (const { name, netns } of world.workloads) {
      await reach.endpoint(name, netns);
      await reach.listen(name, 'tcp', CHANGING_PORTS);
    }
    const probes = new Probes({ random, reach, workloads: world.workloads, attachment: attachmentName, history, rejectsSilently: world.plan.refusedBy === 'switch' });
    const fixed = new FixedPoints(traffic, reach, world.workloads);
    await fixed.begin();
    const run = new ChaosRun({ random, agent, store, changes, history, probes, fixed, filter: 'shop/a' });
    const told = async (): Promise<string> => `seed ${SEED}\n${run.diary.slice(-60).join('\n')}\n${await agent.tail(120)}`;
    await run.run(CHANGES / 2).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await told()}`, { cause: error });
    });
    const wrong = [...run.wrong, ...probes.wrong];
    expect(wrong.length === 0 ? '' : `${wrong.join('\n')}\n${await told()}`).toBe('');
    if (process.env['DFW_CHAOS_DIARY'] !== undefined) console.log(run.diary.join('\n'));
    console.log(JSON.stringify({ changes: CHANGES / 2, judged: probes.judged, unjudged: probes.unjudged, unclear: probes.unclear, lostOnce: fixed.lostOnce, lost: fixed.lost, ...Object.fromEntries(run.counts) }));
    // Something did happen, and was looked at.
    for (const name of ['the agent is killed', ...(store.backup === undefined ? [] : ['a backup is restored'])]) expect(run.counts.get(name), name).toBeGreaterThan(0);
    expect(probes.judged).toBeGreaterThan(CHANGES / 2);
    // Whatever the kernel was left with, each start found its way from there.
    expect((await agent.log()).filter(({ event }) => event === 'nftables.not-mended' || event === 'nftables.rebuild').map(({ table, difference, error }) => [table, difference ?? error])
      .slice(FIRST_REBUILDS[world.plan.refusedBy ?? 'host'])).toEqual([]);
    await expectFresh(world, store, agent, changes.current);
    await probes.look(probes.all(), () => history.newest);
    return probes.wrong;
  } finally {
    await world.close();
  }
}

/**
 * The agent enforces what others would who never saw how it came about. Numbers of policies' rules and of filters are given in the order in which they
 * are first needed, stay, and are never given again: they are what history may show in. One agent gets them and nothing else, and must
 * enforce the same to the last element; another one starts from nothing, and must show the same rules under other numbers. (In a switch, stamps of
 * rules say since when connections may rely on them, ADR 10: they are left out of the comparison.)
 */
async function expectFresh(world: World, store: ChaosStore, veteran: Agent, objects: ReadonlyMap<string, Manifest>): Promise<void> {
  const before = await enforced(veteran, world);
  const numbered = await takesOver(world, store, veteran, objects, async (fresh) => {
    for (const name of ['rules.json', 'filters.json']) await copyFile(join(veteran.stateDir, name), join(fresh.stateDir, name));
  });
  let now: Enforced | undefined;
  await eventually('a fresh agent with the same numbers enforces the same', async () => {
    now = await enforced(numbered, world);
    return JSON.stringify(withoutTimes(now)) === JSON.stringify(withoutTimes(before)) ? true : undefined;
  }, 5_000).catch(() => expect(withoutTimes(now ?? before)).toEqual(withoutTimes(before)));
  const fresh = await takesOver(world, store, numbered, objects, async () => undefined);
  const last = await enforced(fresh, world);
  expect(last.sets).toEqual(before.sets);
  expect(withoutNumbers(last)).toEqual(withoutNumbers(before));
}

async function takesOver(world: World, store: ChaosStore, from: Agent, objects: ReadonlyMap<string, Manifest>, prepare: (fresh: Agent) => Promise<void>): Promise<Agent> {
  await from.ask('cleanup', '--yes');
  await from.kill();
  const fresh = await Agent.prepare(world, { config: { node: NODE, sources: [store.source] } });
  await prepare(fresh);
  await fresh.start();
  expect(await differs(fresh, objects)).toBeUndefined();
  return fresh;
}

/** Of rules only what does not say when they came. */
function withoutTimes({ rules, sets, datapath }: Enforced): unknown {
  return { rules: mapped(rules, ({ filter, rulesets }) => ({ filter, rulesets: rulesets.map(({ name, layer, rules: list }) => ({ name, layer, rules: list })) })), sets, datapath };
}

/** Without numbers of policies' rules, and of filters. */
function withoutNumbers({ rules }: Enforced): unknown {
  return mapped(rules, ({ rulesets }) => rulesets.map(({ name, layer, rules: list }) => ({ name, layer, rules: list.map((rule) => (rule.policy === undefined ? rule : { ...rule, id: 0 })) })));
}

function mapped<T>(record: Readonly<Record<string, T>>, map: (value: T) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}

describe('what is enforced is what the store holds', { timeout: Math.max(180_000, CHANGES * 300) * PATIENCE }, () => {
  it(`after ${CHANGES / 2} changes in etcd, of three members`, async () => {
    expect(await chaos((world) => EtcdStore.create(world, fileURLToPath(new URL('../../bin/agentctl', import.meta.url))))).toEqual([]);
  });

  it(`after ${CHANGES / 2} changes in the Kubernetes API`, async () => {
    expect(await chaos((world) => KubernetesStore.create(world))).toEqual([]);
  });
});
