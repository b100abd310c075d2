/** Domain names in policies: addresses come from the DNS replies that workloads get, and go when these expire. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { podManifests, type Manifest } from '../support/manifests.js';
import { createWorld, OUTSIDE_IPV4, type World } from '../support/netns.js';
import { startDns, type Dns } from '../support/probe/dns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const PODS = ['a', 'b', 'c'] as const;
const SITE = '203.0.113.80';
const SITE_IPV6 = '2001:db8:cafe::80';
const OTHER_SITE = '203.0.113.81';
const PORT = 8080;
/** As many sites, each with an address of its own. */
const MANY = Array.from({ length: 10 }, (_, index) => `203.0.113.${100 + index}`);

let world: World;
let dns: Dns;
let traffic: Traffic;
let agent: Agent;

type Peer = Readonly<Record<string, unknown>>;
const egress = (name: string, priority: number, ...rules: readonly { readonly action: string; readonly to?: readonly Peer[] }[]): Manifest => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'ClusterNetworkPolicy', metadata: { name }, spec: {
    priority, appliedTo: [{ podSelector: { matchLabels: { pod: 'a' } } }], egress: rules.map((rule) => ({ ...rule })),
  },
});
/** Pod a may ask the DNS server and reach what these names stand for; nothing else. */
const only = (...names: readonly string[]): Manifest => egress(
  'only', 5,
  { action: 'Allow', to: [{ ipBlock: { cidr: `${OUTSIDE_IPV4}/32` } }, ...names.map((fqdn) => ({ fqdn }))] },
  { action: 'Drop' },
);

async function load(...policies: readonly Manifest[]): Promise<void> {
  await agent.write('policies.yaml', policies);
  await agent.sync();
}
const a = (): string => world.workload('a').netns;
/** What a lookup of the name and a connection to its address give; a race that is lost does not count, only what holds then. */
const expectReach = async (name: string, state: string, more: { readonly protocol?: 'udp' | 'tcp'; readonly ipv6?: boolean; readonly netns?: string } = {}): Promise<void> => {
  await eventually(`${name}: ${state}`, async () => {
    const result = await dns.lookup({ netns: a(), name, port: PORT, timeoutMs: 400, ...more });
    return result.state === state ? true : undefined;
  }, 8_000);
};

beforeAll(async () => {
  world = await createWorld({ workloads: PODS.map((name) => ({ name })), outside: true });
  for (const address of [`${SITE}/32`, `${OTHER_SITE}/32`, `${SITE_IPV6}/128`, ...MANY.map((address) => `${address}/32`)]) await world.exec(world.outside ?? '', 'ip', ['addr', 'add', address, 'dev', 'lo', ...(address.includes(':') ? ['nodad'] : [])]);
  dns = await startDns(world, world.outside ?? '', OUTSIDE_IPV4);
  traffic = await startTraffic(world);
  await traffic.listen(world.outside ?? '', PORT);
  for (const name of PODS) await traffic.listen(world.workload(name).netns, PORT);
  agent = await Agent.prepare(world, { manifests: {} });
  await agent.write('inventory.yaml', podManifests('x', world.workloads));
  await agent.start();
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await dns.records({
    'www.example.com': { ttl: 60, a: [SITE], aaaa: [SITE_IPV6] }, 'other.example.org': { ttl: 60, a: [OTHER_SITE] },
    'alias.example.com': { ttl: 60, cname: 'cdn.example.net' }, 'cdn.example.net': { ttl: 60, a: [SITE] },
    'svc.x.svc.cluster.local': { ttl: 60, a: [world.workload('b').ipv4, world.workload('c').ipv4] },
    'pod-c.svc.x.svc.cluster.local': { ttl: 60, a: [world.workload('c').ipv4] },
  });
});

it('allows the names that a policy names, over both families, and nothing else', async () => {
  await load(only('WWW.Example.com'));
  await expectReach('www.example.com', 'open');
  await expectReach('wWw.eXample.COM', 'open');
  await expectReach('www.example.com', 'open', { ipv6: true });
  expect((await dns.lookup({ netns: a(), name: 'other.example.org', port: PORT, timeoutMs: 300 })).state).toBe('timeout');
});

it('follows an alias, and a wildcard over several labels', async () => {
  await load(only('*example.com'));
  await expectReach('alias.example.com', 'open');
  await load(only('*.cluster.local'));
  await expectReach('pod-c.svc.x.svc.cluster.local', 'open');
  expect((await dns.lookup({ netns: a(), name: 'www.example.com', port: PORT, timeoutMs: 300 })).state).toBe('timeout');
});

it('refuses names as the first rule that names them says, also those of a headless Service (behaviours 37, 38)', async () => {
  await load(egress('deny', 1, { action: 'Reject', to: [{ fqdn: '*.example.com' }] }, { action: 'Drop', to: [{ fqdn: 'Other.example.org' }, { fqdn: 'svc.x.svc.cluster.local' }] }));
  await expectReach('www.example.com', 'refused');
  await expectReach('other.example.org', 'timeout');
  await expectReach('svc.x.svc.cluster.local', 'timeout');
  // The Service's name stands for the addresses of all its pods, whatever a packet's sender called them.
  await expectReach('pod-c.svc.x.svc.cluster.local', 'timeout');
  expect((await dns.lookup({ netns: world.workload('b').netns, name: 'www.example.com', port: PORT })).state).toBe('open');
});

it('learns from replies over TCP (behaviour 39)', async () => {
  await load(egress('deny', 1, { action: 'Drop', to: [{ fqdn: 'other.example.org' }] }));
  await expectReach('other.example.org', 'timeout', { protocol: 'tcp' });
});

/** Without asking again: what a client that keeps an address sees. */
const keeps = (address: string): Promise<string> => traffic.tries({ netns: a(), destination: address, port: PORT, timeoutMs: 300 });
async function configure(minTTL: number): Promise<void> {
  const config = JSON.parse(await readFile(agent.configFile, 'utf8')) as Record<string, unknown>;
  await writeFile(agent.configFile, JSON.stringify({ ...config, dns: { minTTL } }));
  await agent.stop();
  await agent.start();
}

it('lets go of an address when its TTL is over (behaviour 40, no minimum)', async () => {
  await dns.records({ 'short.example.net': { ttl: 1, a: [SITE] } });
  await load(only('short.example.net'));
  await expectReach('short.example.net', 'open');
  await dns.records({ 'short.example.net': { ttl: 60, a: [OTHER_SITE] } });
  await expectReach('short.example.net', 'open');
  await eventually('the old address is refused', async () => ((await keeps(SITE)) === 'timeout' ? true : undefined));
  expect(await keeps(OTHER_SITE)).toBe('open');
});

it('keeps an address for dns.minTTL though the name has another (behaviour 40), and over a restart', async () => {
  await configure(3600);
  await dns.records({ 'kept.example.net': { ttl: 1, a: [SITE] } });
  await load(only('kept.example.net'));
  await expectReach('kept.example.net', 'open');
  await dns.records({ 'kept.example.net': { ttl: 1, a: [OTHER_SITE] } });
  await expectReach('kept.example.net', 'open');
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // longer than the TTL
  expect(await keeps(SITE)).toBe('open');
  await agent.kill();
  await agent.start();
  expect([await keeps(SITE), await keeps(OTHER_SITE)]).toEqual(['open', 'open']);
  const { entries } = await agent.ask<{ entries: { fqdn: string; address: string; expiration: string }[] }>('getfqdncache', '-d', 'Kept.example.net');
  expect(entries.map(({ fqdn, address }) => [fqdn, address])).toEqual([['kept.example.net', SITE], ['kept.example.net', OTHER_SITE]]);
  expect(entries.every(({ expiration }) => Date.parse(expiration) > Date.now())).toBe(true);
  expect((await agent.metric('dfw_dns_names'))['']).toBeGreaterThan(0);
});

it('hands a reply on when its addresses are in force: the first connection finds them known', async () => {
  await load(only('*.site.example'));
  await dns.records(Object.fromEntries(MANY.map((address, index) => [`n${index}.site.example`, { ttl: 60, a: [address] }])));
  for (const index of MANY.keys()) {
    const { state } = await dns.lookup({ netns: a(), name: `n${index}.site.example`, port: PORT });
    expect({ index, state }).toEqual({ index, state: 'open' });
  }
  const unknown = await dns.lookup({ netns: a(), name: 'no.example' });
  expect(unknown).toMatchObject({ addresses: [], state: null });
});

it('lets replies pass when it is gone: at once after a stop, soon after a crash', async () => {
  await load(only('www.example.com'));
  const answered = async (): Promise<true | undefined> => ((await dns.lookup({ netns: a(), name: 'www.example.com' })).addresses.length > 0 ? true : undefined);
  await agent.stop();
  expect(await answered()).toBe(true);
  await agent.start();
  expect(await answered()).toBe(true);
  await agent.kill();
  await eventually('an answer', answered, 15_000);
  await agent.start();
});

it('looks at replies only while rules name domains', async () => {
  const looks = async (): Promise<boolean> => {
    if (world.ovs !== undefined) return (await world.ovs.ofctl('dump-flows', 'cookie=0xdf77090000000000/0xffffff0000000000')).includes('actions=');
    return (await world.exec(world.host, 'nft', ['list', 'tables'])).stdout.includes('dfw_dns');
  };
  await load(only('www.example.com'));
  expect(await looks()).toBe(true);
  await load();
  // What was held back a moment ago may still be for 3 s.
  await eventually('nothing', async () => ((await looks()) ? undefined : true), 6_000);
});
