/** Egress on one host, on each datapath: who leaves with the address, what people are told, and when it ends. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canonicalHost } from '../../src/model/address.js';
import type { EgressStateView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { seenBy, startGreeter } from '../support/fleet.js';
import { podManifests } from '../support/manifests.js';
import { createWorld, HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, OUTSIDE_IPV6, type World } from '../support/netns.js';
import type { Manifest } from '../support/policies.js';

const RANGE = ['198.51.100.101', '198.51.100.103'] as const;
const ADDRESS6 = '2001:db8:51::101';

const pool = (name: string, start: string, end = start): Manifest => ({ apiVersion: 'crd.antrea.io/v1beta1', kind: 'ExternalIPPool', metadata: { name }, spec: { ipRanges: [{ start, end }], nodeSelector: {} } });
const egress = (name: string, spec: Readonly<Record<string, unknown>>): Manifest => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'Egress', metadata: { name }, spec: { appliedTo: { podSelector: { matchLabels: { pod: 'fruits' } } }, ...spec },
});

describe('Egress of one host', () => {
  let world: World;
  let agent: Agent;
  let leases: string;

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'fruits' }, { name: 'stones' }], outside: true });
    await startGreeter(world.outside ?? '', world.cleanup);
    agent = await Agent.prepare(world, {
      manifests: {
        'pods.yaml': [
          ...podManifests('default', world.workloads),
          { apiVersion: 'v1', kind: 'Node', metadata: { name: 'host-1' }, spec: { podCIDRs: ['10.10.0.0/16', 'fd10::/16'] }, status: { addresses: [{ type: 'InternalIP', address: HOST_IPV4 }, { type: 'InternalIP', address: HOST_IPV6 }] } },
        ],
        'egress.yaml': [],
      },
    });
    leases = join(agent.directory, 'leases');
    await agent.configure('egress', { leases: 'file', directory: leases });
    await agent.start();
  }, 60_000);
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail(), await shown('nft list table inet dfw_egress; ip addr'))));

  const shown = async (script: string): Promise<string> => (await world.exec(world.host, 'sh', ['-c', script])).stdout;
  const state = async (): Promise<EgressStateView> => agent.ask<EgressStateView>('getegress');
  const addressOf = async (name: string): Promise<string> => eventually(`an active ${name}`, async () => (await state()).egresses.find((one) => one.name === name && one.state === 'active')?.address, 10_000);
  const set = async (...manifests: readonly Manifest[]): Promise<void> => {
    await agent.write('egress.yaml', manifests);
    await agent.sync();
  };
  const seen = async (name: string, family: 4 | 6 = 4): Promise<string | undefined> => seenBy(world.workload(name).netns, family === 4 ? OUTSIDE_IPV4 : OUTSIDE_IPV6);
  /** Does the host answer for the address, asked by the outside: a port without a server resets. */
  const answers = async (address: string): Promise<boolean> => {
    const connect = 'import socket, sys; s = socket.socket(); s.settimeout(1); print(s.connect_ex((sys.argv[1], 9)))';
    const { stdout } = await world.exec(world.outside ?? '', '/usr/bin/python3', ['-c', connect, address]);
    return stdout.trim() === '111'; // ECONNREFUSED
  };
  const usual = [pool('pool', ...RANGE), pool('pool-six', ADDRESS6), egress('fruits', { externalIPPool: 'pool' }), egress('fruits-six', { externalIPPool: 'pool-six' })];

  it('selected pods leave with the address, others do not; both families', async () => {
    expect(await seen('fruits')).toBe(world.workload('fruits').ipv4);
    await set(...usual);
    const address = await addressOf('fruits');
    expect(address).toMatch(/^198\.51\.100\.10[123]$/);
    expect(await addressOf('fruits-six')).toBe(ADDRESS6);
    expect([await seen('fruits'), await seen('fruits', 6), await seen('stones'), await seen('stones', 6)]).toEqual([address, ADDRESS6, world.workload('stones').ipv4, canonicalHost(world.workload('stones').ipv6)]);
    // The host answers for it, and does not use it itself.
    expect(await answers(address)).toBe(true);
    expect(await seenBy(world.host, OUTSIDE_IPV4)).toBe('198.51.100.1');
  });

  it('says who has what: getegress, get with status, pools, metrics', async () => {
    await set(...usual);
    const address = await addressOf('fruits');
    await addressOf('fruits-six');
    const workload = { namespace: 'default', name: 'fruits', node: 'host-1' };
    expect(await state()).toEqual({
      egresses: [
        { name: 'fruits', address, pool: 'pool', node: 'host-1', state: 'active', workloads: [{ ...workload, addresses: [world.workload('fruits').ipv4] }] },
        { name: 'fruits-six', address: ADDRESS6, pool: 'pool-six', node: 'host-1', state: 'active', workloads: [{ ...workload, addresses: [canonicalHost(world.workload('fruits').ipv6)] }] },
      ],
      pools: [{ name: 'pool', total: 3, used: 1 }, { name: 'pool-six', total: 1, used: 1 }],
    });
    expect(await agent.ask('get', 'egress', 'fruits')).toMatchObject({
      status: { egressIP: address, egressNode: 'host-1', conditions: [{ type: 'IPAllocated', status: 'True' }, { type: 'IPAssigned', status: 'True' }] },
    });
    expect(await agent.ask('get', 'externalippool', 'pool')).toMatchObject({ status: { usage: { total: 3, used: 1 } } });
    expect((await agent.agentctl('getegress')).stdout).toMatch(/^NAME +ADDRESS +POOL +NODE +STATE +WORKLOADS\nfruits .* host-1 +active +default\/fruits\n/);
    expect(await agent.metric('dfw_egress_addresses')).toEqual({ '{state="held"}': 2, '{state="known"}': 2 });
    expect(await agent.metric('dfw_egress_pool_addresses')).toMatchObject({ '{pool="pool",state="total"}': 3, '{pool="pool",state="used"}': 1 });
  });

  it('is a member of groups, with the address that the pool gave', async () => {
    await set(...usual,
      { apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'app' }, spec: { criteria: [{ all: [{ object: 'AntreaEgress', key: 'Name', operator: 'Equals', value: 'fruits' }] }] } },
      { apiVersion: 'dfw.dev/v1', kind: 'Group', metadata: { name: 'all' }, spec: { criteria: [{ all: [{ object: 'Pod', key: 'Name', operator: 'Equals', value: 'stones' }] }] } },
      { apiVersion: 'dfw.dev/v1', kind: 'SecurityPolicy', metadata: { name: 'admit' }, spec: { category: 'Application', sequence: 10, appliedTo: [{ group: 'all' }], rules: [{ name: 'app', sources: [{ group: 'app' }], action: 'Allow', direction: 'In' }] } });
    const address = await addressOf('fruits');
    const { addressSets } = await agent.ask<{ addressSets: { name: string; addresses: string[] }[] }>('getaddrsets', '-f', 'default/stones');
    expect(addressSets.flatMap(({ addresses }) => addresses)).toContain(address);
  });

  it('says conflicts: an address that another has, one outside the pool, a pool that is full, a pod of two Egresses', async () => {
    await set(pool('pool', RANGE[0]), egress('a', { egressIP: RANGE[0], externalIPPool: 'pool' }), egress('b', { egressIP: RANGE[0], externalIPPool: 'pool' }), egress('c', { externalIPPool: 'pool' }), egress('d', { egressIP: '198.51.100.9', externalIPPool: 'pool' })).catch(() => undefined);
    const of = async (name: string): Promise<string | undefined> => (await state()).egresses.find((one) => one.name === name)?.state;
    await addressOf('a');
    expect([await of('b'), await of('c'), await of('d')]).toEqual([
      'pending: 198.51.100.101 is Egress/a\'s', 'pending: ExternalIPPool pool has no address left', 'pending: 198.51.100.9 is not in ExternalIPPool pool',
    ]);
    expect((await agent.agentctl('status')).stdout).toContain('Egress/c: spec.externalIPPool: ExternalIPPool pool has no address left');
    await set(...usual);
  });

  it('an address without a pool stays where somebody put it', async () => {
    await set(egress('fixed', { egressIP: '198.51.100.77' }));
    expect((await state()).egresses[0]?.state).toBe('pending: no node has 198.51.100.77 on an interface');
    await shown('ip addr add 198.51.100.77/32 dev uplink');
    expect(await addressOf('fixed')).toBe('198.51.100.77');
    await eventually('the address', async () => (await seen('fruits') === '198.51.100.77' ? true : undefined));
    await set();
    expect(await shown('ip addr show dev uplink')).toContain('198.51.100.77');
    await shown('ip addr del 198.51.100.77/32 dev uplink');
  });

  it('keeps to the bandwidth of an Egress', async () => {
    await set(pool('pool', ...RANGE), egress('fruits', { externalIPPool: 'pool', bandwidth: { rate: '800k', burst: '1600k' } }));
    const address = await addressOf('fruits');
    await eventually('the address', async () => (await seen('fruits') === address ? true : undefined));
    const rate = 'limit rate over 100000 bytes/second burst 100000 bytes counter packets';
    const dropped = async (): Promise<number> => Number(new RegExp(`ip saddr ${address} ${rate} \\d+ bytes (\\d+) drop`).exec(await shown('nft list chain inet dfw_egress gate'))?.[1] ?? NaN);
    const before = await dropped();
    // 1,000 packets of 1,028 bytes, as fast as they go: 200,000 bytes at once, and 100,000 a second.
    const send = `import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); began = time.monotonic()
for _ in range(1000): s.sendto(bytes(1000), ('${OUTSIDE_IPV4}', 9))
print(time.monotonic() - began)`;
    const { stdout, stderr, code } = await world.exec(world.workload('fruits').netns, '/usr/bin/python3', ['-c', send]);
    expect(code, stderr).toBe(0);
    const passed = 1_028_000 - (await dropped() - before);
    expect(passed).toBeGreaterThan(100_000);
    expect(passed).toBeLessThan(205_000 + (Number(stdout) + 0.1) * 100_000);
    // Others are not held up by it.
    expect(await seen('stones')).toBe(world.workload('stones').ipv4);
    await set(...usual);
    await eventually('no limit', async () => ((await shown('nft list chain inet dfw_egress gate')).includes('limit rate') ? undefined : true));
  });

  it('says what it cannot do: pools with a network of their own', async () => {
    const subnet = { apiVersion: 'crd.antrea.io/v1beta1', kind: 'ExternalIPPool', metadata: { name: 'vlan' }, spec: { ipRanges: [{ cidr: '198.51.100.96/29' }], subnetInfo: { gateway: '198.51.100.97', prefixLength: 29, vlan: 5 }, nodeSelector: {} } };
    await set(pool('pool', ...RANGE), subnet, egress('fruits', { externalIPPool: 'pool' }), egress('tagged', { externalIPPool: 'vlan' }));
    await addressOf('fruits');
    expect((await state()).egresses.find(({ name }) => name === 'tagged')).toMatchObject({ node: '', state: 'pending: spec.subnetInfo is not supported by this version: no address of the pool is used' });
  });

  it('lets go in time when the leases cannot be reached, says so, and comes back', async () => {
    await set(...usual);
    const address = await addressOf('fruits');
    const since = performance.now();
    await rename(leases, `${leases}.away`);
    await writeFile(leases, ''); // no directory
    await eventually('nobody answers', async () => (await answers(address) ? undefined : true), 6_000);
    expect(performance.now() - since).toBeLessThan(4_500);
    expect(await seen('fruits')).toBeUndefined();
    expect((await agent.agentctl('status')).stdout).toMatch(/egress: leases cannot be read or renewed/);
    await rm(leases);
    await rename(`${leases}.away`, leases);
    expect(await addressOf('fruits')).toBe(address);
    await eventually('the address', async () => (await seen('fruits') === address ? true : undefined));
  });

  it('a restart keeps address and connections; a crash takes the address off the interface', async () => {
    await set(...usual);
    const address = await addressOf('fruits');
    const talk = `import socket, time
s = socket.create_connection(('${OUTSIDE_IPV4}', 8080), timeout=5); s.settimeout(20); f = s.makefile('rwb', buffering=0); f.readline()
for n in range(60):
    f.write(b'x\\n'); assert f.readline() == b'x\\n'; time.sleep(0.1)
print('whole')`;
    const talking = world.exec(world.workload('fruits').netns, '/usr/bin/python3', ['-c', talk]);
    await agent.stop();
    await agent.start();
    expect(await addressOf('fruits')).toBe(address);
    const { stdout, stderr } = await talking;
    expect(`${stdout}${stderr}`).toContain('whole');
    await agent.kill();
    await eventually('no address', async () => ((await shown('ip -4 addr show dev uplink')).includes(address) ? undefined : true), 6_000);
    await eventually('no way out', async () => (await seen('fruits') === undefined ? true : undefined), 4_000);
    await agent.start();
    expect(await addressOf('fruits')).toBe(address);
  });

  it('somebody who flushes its tables has them back', async () => {
    await set(...usual);
    await addressOf('fruits');
    // A table that comes back is another one.
    const handle = async (): Promise<string | undefined> => /table inet dfw_egress \{.*# handle \d+/.exec(await shown('nft -a list table inet dfw_egress'))?.[0];
    const before = await handle();
    expect(before).toBeDefined();
    await shown('nft delete table inet dfw_egress; nft flush chain arp dfw_egress asked');
    await eventually('another table', async () => ((await handle()) ?? before) === before ? undefined : true, 10_000);
    await eventually('the tables', async () => ((await shown('nft list table inet dfw_egress; nft list chain arp dfw_egress asked')).match(/translate4|daddr ip @egress4/g)?.length ?? 0) >= 2 ? true : undefined, 10_000);
    await eventually('the address', async () => (await seen('fruits') === await addressOf('fruits') ? true : undefined));
  });

  it('leaves nothing behind: neither when the Egress goes, nor after cleanup', async () => {
    const nothingLeft = async (): Promise<true> => {
      const all = await shown('ip addr; ip rule; ip -6 rule; ip route show table all; nft list tables; ip link; cat /proc/net/nf_conntrack 2>/dev/null');
      // What the outside tried to reach at the address is no connection of a pod.
      const found = all.split('\n').filter((line) => !/ src=198\.51\.100\.2 dst=198/.test(line) && ['dfw_egress', 'dfw-egress', '198.51.100.10', ADDRESS6, 'fwmark'].some((text) => line.includes(text)));
      if (found.length > 0) throw new Error(found.join('\n'));
      return true;
    };
    await set(...usual);
    expect(await seen('fruits')).toBe(await addressOf('fruits'));
    await set();
    await eventually('nothing', nothingLeft, 10_000);
    expect(await seen('fruits')).toBe(world.workload('fruits').ipv4);
    await set(...usual);
    await addressOf('fruits');
    expect((await agent.agentctl('cleanup', '--yes')).stdout).toMatch(/tables inet dfw_egress/);
    await eventually('nothing', nothingLeft, 10_000);
  });
});
