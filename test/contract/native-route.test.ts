import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { LinkSocket, RouteSocket } from '../../src/native/binding.js';
import { eventually, NativeHost, type Remote, TestNamespace } from './native-host.js';

const MAC = '0a:00:00:00:00:02';

describe('routes, neighbours and forwarding tables', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let routes: Remote<RouteSocket>;
  let links: Remote<LinkSocket>;
  const ip = (...words: string[]): string => namespace.run('ip', ...words.flatMap((word) => word.split(' ')));
  const indexOf = async (name: string): Promise<number> => {
    const link = (await links.list()).find((each) => each.name === name);
    if (link === undefined) throw new Error(`${name} is not listed`);
    return link.index;
  };

  beforeEach(async () => {
    namespace = new TestNamespace();
    host = await NativeHost.start(namespace);
    routes = await host.create('RouteSocket');
    links = await host.create('LinkSocket');
    ip('link set lo up');
    for (const pair of ['a', 'b']) {
      ip(`link add v${pair} type veth peer name p${pair}`);
      ip(`link set v${pair} up`);
      ip(`link set p${pair} up`);
    }
    ip('addr add 192.0.2.1/24 dev va');
    ip('addr add 2001:db8::1/64 dev va nodad');
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  it('looks routes up as the kernel would send', async () => {
    ip('route add 10.0.0.2/32 dev vb');
    ip('-6 route add fd00::2/128 dev vb');
    ip('route add 10.0.1.0/24 via 192.0.2.9');
    ip('-6 route add fd00:1::/64 via 2001:db8::9');
    ip('route add 10.0.2.0/24 nexthop dev va nexthop dev vb');
    ip('-6 route add fd00:2::/64 nexthop via 2001:db8::8 dev va nexthop via 2001:db8::9 dev va');
    ip('route add blackhole 10.0.3.0/24');
    ip('-6 route add unreachable fd00:3::/64');
    const [va, vb] = [await indexOf('va'), await indexOf('vb')];
    const asked = [
      '10.0.0.2', 'fd00::2', '192.0.2.7', '2001:db8::7', '10.0.1.5', 'fd00:1::5', '10.0.2.5', 'fd00:2::5', '10.0.3.5', 'fd00:3::5', '192.0.2.1', '2001:db8::1', '203.0.113.9', '2001:db9::9', '10.0.0.2',
    ];
    const answers = await routes.lookup(asked);
    expect(answers.map(({ kind, interfaceIndex, prefixLength }) => `${kind} ${interfaceIndex === va ? 'va' : interfaceIndex === vb ? 'vb' : interfaceIndex === 0 ? '-' : 'other'} ${prefixLength}`)).toEqual([
      'direct vb 32', 'direct vb 128', 'direct va 24', 'direct va 64', 'gateway va 24', 'gateway va 64', 'several - 24', 'several - 64', 'none - 0', 'none - 0',
      expect.stringMatching(/^local /), expect.stringMatching(/^local /), 'none - 0', 'none - 0', 'direct vb 32',
    ]);
    expect(await routes.lookup([])).toEqual([]);
  });

  it('reads neighbours whose MAC address is known, of the addresses asked for', async () => {
    ip(`neigh add 192.0.2.2 lladdr ${MAC} dev va nud stale`);
    ip(`neigh add 2001:db8::2 lladdr ${MAC} dev va nud permanent`);
    ip(`neigh add 192.0.2.2 lladdr 0a:00:00:00:00:03 dev vb nud reachable`);
    ip(`neigh add 192.0.2.3 lladdr ${MAC} dev va nud failed`);
    ip(`neigh add 192.0.2.4 lladdr ${MAC} dev va nud permanent`);
    const [va, vb] = [await indexOf('va'), await indexOf('vb')];
    const found = await routes.neighbours(['192.0.2.2', '192.0.2.3', '2001:db8::2']);
    expect(found.map(({ interfaceIndex, address, mac }) => `${address} ${interfaceIndex === va ? 'va' : interfaceIndex === vb ? 'vb' : '?'} ${mac}`).sort()).toEqual([
      `192.0.2.2 va ${MAC}`, '192.0.2.2 vb 0a:00:00:00:00:03', `2001:db8::2 va ${MAC}`,
    ]);
  });

  it('reads behind which ports bridges have addresses, but not those of ports themselves', async () => {
    ip('link add br0 type bridge');
    ip('link add br1 type bridge');
    for (const [port, bridge] of [['va', 'br0'], ['vb', 'br1']]) ip(`link set ${port} master ${bridge}`);
    ip('link set br0 up');
    ip('link set br1 up');
    const own = (await links.list()).find(({ name }) => name === 'va')?.mac ?? '';
    namespace.run('bridge', 'fdb', 'add', MAC, 'dev', 'va', 'master', 'dynamic');
    namespace.run('bridge', 'fdb', 'add', MAC, 'dev', 'vb', 'master', 'static');
    namespace.run('bridge', 'fdb', 'add', '0a:00:00:00:00:09', 'dev', 'vb', 'master', 'static');
    const [va, vb, br0, br1] = [await indexOf('va'), await indexOf('vb'), await indexOf('br0'), await indexOf('br1')];
    const found = await routes.forwarding([MAC, own]);
    expect(found.map(({ bridgeIndex, interfaceIndex }) => `${bridgeIndex} ${interfaceIndex}`).sort()).toEqual([`${br0} ${va}`, `${br1} ${vb}`].sort());
    expect(new Set(found.map(({ mac }) => mac))).toEqual(new Set([MAC]));
  });

  it('says of what kind a change was', async () => {
    const seen = new Set<string>();
    await routes.monitor((what) => seen.add(what));
    ip('-6 route add fd00::9/128 dev vb');
    await eventually(() => (seen.has('routes') ? true : undefined));
    seen.clear();
    ip('route add 10.0.0.9/32 dev vb');
    await eventually(() => (seen.has('routes') ? true : undefined));
    ip(`neigh add 192.0.2.2 lladdr ${MAC} dev va`);
    await eventually(() => (seen.has('neighbours') ? true : undefined));
    ip('link del vb');
    await eventually(() => (seen.has('links') ? true : undefined));
    await routes.close();
    await expect(routes.lookup(['10.0.0.9'])).rejects.toMatchObject({ code: 'ECANCELED' });
  });

  it('refuses what is no address', async () => {
    for (const text of ['', '10.0.0', '10.0.0.1/32', 'fd00::x']) {
      await expect(routes.lookup([text])).rejects.toMatchObject({ code: 'EINVAL', syscall: 'lookup' });
      await expect(routes.neighbours([text])).rejects.toMatchObject({ code: 'EINVAL', syscall: 'neighbours' });
    }
  });
});
