/** Addresses, routes and rules by rtnetlink; translated connections; transactions that come too late. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LinkSocket, NftSocket, AddressSocket } from '../../src/native/binding.js';
import { eventually, NativeHost, type Remote, TestNamespace } from './native-host.js';

describe('routes', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let routes: Remote<AddressSocket>;
  let links: Remote<LinkSocket>;

  beforeEach(async () => {
    namespace = new TestNamespace();
    namespace.run('ip', 'link', 'set', 'lo', 'up');
    host = await NativeHost.start(namespace);
    routes = await host.create('AddressSocket');
    links = await host.create('LinkSocket');
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  it('puts addresses on an interface for a time, which ends by itself', async () => {
    for (const address of ['192.0.2.9', 'fd99::9']) await routes.setAddress({ interfaceIndex: 1, address, validSeconds: 30 });
    const shown = namespace.run('ip', 'addr', 'show', 'dev', 'lo');
    expect(shown).toMatch(/inet 192\.0\.2\.9\/32 scope global deprecated dynamic noprefixroute lo\n +valid_lft (30|29)sec preferred_lft 0sec/);
    expect(shown).toMatch(/inet6 fd99::9\/128 scope global nodad deprecated dynamic noprefixroute/);
    expect(await routes.addresses()).toEqual(expect.arrayContaining([
      { interfaceIndex: 1, address: '127.0.0.1', prefixLength: 8, validSeconds: Infinity }, expect.objectContaining({ address: '192.0.2.9', prefixLength: 32 }), expect.objectContaining({ address: 'fd99::9', prefixLength: 128 }),
    ]));
    expect([await routes.deleteAddress({ interfaceIndex: 1, address: 'fd99::9' }), await routes.deleteAddress({ interfaceIndex: 1, address: 'fd99::9' })]).toEqual([true, false]);
    await routes.setAddress({ interfaceIndex: 1, address: '192.0.2.9', validSeconds: 1 });
    await eventually(async () => (await routes.addresses()).every(({ address }) => address !== '192.0.2.9'));
  });

  it('makes a tunnel device, routes into it, and rules; lists and deletes only its own', async () => {
    await routes.createTunnel({ name: 'dfw-egress', port: 4790, mtu: 1400 });
    await expect(routes.createTunnel({ name: 'dfw-egress', port: 4790, mtu: 1400 })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(namespace.run('ip', '-d', 'link', 'show', 'dfw-egress')).toMatch(/mtu 1400 [\s\S]*vxlan external .*dstport 4790 .* gpe/);
    await links.set('dfw-egress', { up: true });
    const interfaceIndex = (await links.list()).find(({ name }) => name === 'dfw-egress')?.index ?? 0;
    namespace.run('ip', 'route', 'add', 'default', 'dev', 'lo', 'table', '701');
    namespace.run('ip', 'rule', 'add', 'fwmark', '1', 'lookup', '701');
    for (const family of [4, 6] as const) {
      for (const tunnelTo of ['192.0.2.7', 'fd99::7', '192.0.2.8']) await routes.setRoute({ family, table: 5_720_701, interfaceIndex, tunnelTo, tunnelId: 57 });
      const rule = { family, table: 5_720_701, mark: 0x100000, mask: 0xff00000, priority: 5720 };
      expect([await routes.addRule(rule), await routes.addRule(rule)]).toEqual([true, false]);
    }
    expect(await routes.routes()).toEqual([4, 6].map((family) => ({ family, table: 5_720_701, interfaceIndex, tunnelTo: '192.0.2.8' })));
    expect(await routes.rules()).toEqual([4, 6].map((family) => ({ family, table: 5_720_701, mark: 0x100000, mask: 0xff00000, priority: 5720 })));
    expect(namespace.run('ip', 'route', 'show', 'table', '5720701')).toContain('encap ip id 57 src 0.0.0.0 dst 192.0.2.8');
    for (const family of [4, 6] as const) {
      expect([await routes.deleteRoute({ family, table: 5_720_701 }), await routes.deleteRoute({ family, table: 5_720_701 })]).toEqual([true, false]);
      const [rule] = (await routes.rules()).filter((one) => one.family === family);
      if (rule === undefined) throw new Error('no rule');
      expect([await routes.deleteRule(rule), await routes.deleteRule(rule)]).toEqual([true, false]);
    }
    expect(namespace.run('ip', 'rule')).toContain('lookup 701');
  });

  it('says how the host would send', async () => {
    namespace.run('ip', 'link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    namespace.run('ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'va');
    for (const name of ['va', 'vb']) namespace.run('ip', 'link', 'set', name, 'up');
    namespace.run('ip', 'route', 'add', 'default', 'via', '192.0.2.254');
    const interfaceIndex = (await links.list()).find(({ name }) => name === 'va')?.index;
    expect(await routes.routeTo('192.0.2.9')).toEqual({ type: 'unicast', interfaceIndex, source: '192.0.2.1', gateway: '' });
    expect(await routes.routeTo('203.0.113.1')).toEqual({ type: 'unicast', interfaceIndex, source: '192.0.2.1', gateway: '192.0.2.254' });
    expect(await routes.routeTo('192.0.2.1')).toMatchObject({ type: 'local' });
    expect(await routes.routeTo('2001:db8::1')).toBeUndefined();
  });

  it('refuses what makes no sense', async () => {
    await expect(routes.setAddress({ interfaceIndex: 1, address: 'nowhere', validSeconds: 1 })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(routes.setAddress({ interfaceIndex: 1, address: '192.0.2.9', validSeconds: 0 })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(routes.setAddress({ interfaceIndex: 99, address: '192.0.2.9', validSeconds: 1 })).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(routes.routeTo('192.0.2.0/24')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(routes.createTunnel({ name: 'much-too-long-name', port: 1, mtu: 1400 })).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('ends connections that are translated otherwise than they shall be, and no other', async () => {
    // Connections need no traffic: conntrack(8) makes them. source port: 1 as it is, 2 translated to .50, 3 translated to .60, 4 within the cluster.
    const make = (port: number, to: string, translated: string): void => void namespace.run(
      'conntrack', '-I', '-p', 'tcp', '-t', '600', '-s', '10.0.0.1', '-d', to, '--sport', String(port), '--dport', '80', '-r', to, '-q', translated, '--reply-port-src', '80', '--reply-port-dst', String(port), '--state', 'ESTABLISHED', '-u', 'ASSURED',
    );
    make(1, '203.0.113.1', '10.0.0.1');
    make(2, '203.0.113.1', '192.0.2.50');
    make(3, '203.0.113.1', '192.0.2.60');
    make(4, '10.0.1.1', '10.0.0.1');
    const ports = (): string[] => [...namespace.run('conntrack', '-L').matchAll(/src=10\.0\.0\.1 dst=\S+ sport=(\d)/g)].map(([, port]) => port ?? '').sort();
    expect(ports()).toEqual(['1', '2', '3', '4']);
    const except = ['10.0.0.0/8', 'fd00::/8'];
    expect(await host.functions.endOtherTranslations({ wanted: ['10.0.0.2', '192.0.2.50'], former: ['10.0.0.1', '192.0.2.70'], except })).toBe(0);
    expect(await host.functions.endOtherTranslations({ wanted: [], former: ['10.0.0.1', '192.0.2.60'], except })).toBe(1);
    expect(ports()).toEqual(['1', '2', '4']);
    expect(await host.functions.endOtherTranslations({ wanted: ['10.0.0.1', '192.0.2.50'], former: [], except })).toBe(1);
    expect(ports()).toEqual(['2', '4']);
    await expect(host.functions.endOtherTranslations({ wanted: ['10.0.0.1'], former: [], except })).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('a transaction whose time has passed is not sent', async () => {
    const nft: Remote<NftSocket> = await host.create('NftSocket');
    const now = await host.functions.monotonicMs();
    const generation = await nft.generation();
    await expect(nft.transact([], now - 1)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(await nft.generation()).toBe(generation);
    await nft.transact([], now + 60_000);
    expect(Math.abs(await host.functions.monotonicMs() - Number(process.hrtime.bigint()) / 1e6)).toBeLessThan(1_000);
  });
});
