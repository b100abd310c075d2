import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { isAgentError } from '../../src/model/errors.js';
import type { Link, LinkEvent, LinkSocket } from '../../src/native/binding.js';
import { loadNative } from '../../src/native/load.js';
import { addonPath, eventually, NativeHost, type Remote, sendDatagrams, TestNamespace } from './native-host.js';

const CHILDREN = join(dirname(fileURLToPath(import.meta.url)), 'children');

interface IpLink {
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_data?: { readonly type?: string; readonly vnet_hdr?: boolean; readonly persist?: boolean } };
}

describe('links', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let links: Remote<LinkSocket>;

  beforeEach(async () => {
    namespace = new TestNamespace();
    host = await NativeHost.start(namespace);
    links = await host.create('LinkSocket');
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  function shown(name: string): IpLink {
    const list: IpLink[] = JSON.parse(namespace.run('ip', '-d', '-j', 'link', 'show', name));
    const [link] = list;
    if (link === undefined) throw new Error(`ip does not show ${name}`);
    return link;
  }
  async function listed(name: string): Promise<Link> {
    const link = (await links.list()).find((each) => each.name === name);
    if (link === undefined) throw new Error(`${name} is not listed`);
    return link;
  }

  it('lists what ip lists', async () => {
    namespace.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    namespace.run('ip', 'link', 'set', 'br0', 'up');
    const list = await links.list();
    expect(list.map((link) => link.name)).toEqual(['lo', 'br0']);
    expect(list[1]).toMatchObject({ kind: 'bridge', up: true, mtu: 1500, mac: shown('br0').address, rxPackets: 0, rxDropped: 0 });
    expect(list[0]).toMatchObject({ index: 1, kind: '', up: false, mtu: 65_536, mac: '00:00:00:00:00:00' });
  });

  it('says whose port a link is', async () => {
    namespace.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    namespace.run('ip', 'link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    namespace.run('ip', 'link', 'set', 'va', 'master', 'br0');
    expect([(await listed('va')).master, (await listed('vb')).master, (await listed('br0')).master]).toEqual([(await listed('br0')).index, 0, 0]);
    namespace.run('ip', 'link', 'set', 'va', 'nomaster');
    expect((await listed('va')).master).toBe(0);
  });

  it('creates, changes and deletes veth pairs', async () => {
    await links.createVeth({ name: 'va', peer: 'vb', mtu: 1400 });
    expect(await listed('va')).toMatchObject({ kind: 'veth', mtu: 1400, up: false });
    expect(await listed('vb')).toMatchObject({ kind: 'veth', mtu: 1400, up: false });
    await links.set('va', { up: true, mtu: 1300, arp: false, promiscuous: true });
    expect(shown('va')).toMatchObject({ mtu: 1300 });
    expect(shown('va').flags).toEqual(expect.arrayContaining(['UP', 'NOARP', 'PROMISC']));
    await links.set('va', { mtu: 1200 });
    expect(shown('va').flags).toEqual(expect.arrayContaining(['UP', 'NOARP', 'PROMISC']));
    await links.set('va', { arp: true, promiscuous: false, up: false });
    expect(shown('va')).toMatchObject({ mtu: 1200 });
    for (const flag of ['UP', 'NOARP', 'PROMISC']) expect(shown('va').flags).not.toContain(flag);
    await links.delete('va');
    expect((await links.list()).map((link) => link.name)).toEqual(['lo']);
  });

  it('puts links into a group, and names them for people', async () => {
    await links.createVeth({ name: 'va', peer: 'vb', group: 57_207 });
    for (const name of ['va', 'vb']) expect(await listed(name)).toMatchObject({ group: 57_207, alias: '' });
    await links.set('va', { alias: 'for copies' });
    expect((await listed('va')).alias).toBe('for copies');
    expect(namespace.run('ip', 'link', 'show', 'group', '57207')).toMatch(/va@vb[^]*alias for copies/);
    await links.set('va', { up: true });
    expect(await listed('va')).toMatchObject({ alias: 'for copies', up: true });
    await links.set('va', { alias: '' });
    expect((await listed('va')).alias).toBe('');
    await links.createVeth({ name: 'vc', peer: 'vd' });
    expect((await listed('vc')).group).toBe(0);
    await expect(links.set('va', { alias: 'x'.repeat(256) })).rejects.toMatchObject({ code: 'EINVAL' });
  });

  /** IFLA_VXLAN_ID (host order) and IFLA_VXLAN_PORT (network order). */
  const vxlan = (id: number, port: number): Uint8Array => Uint8Array.of(8, 0, 1, 0, id, 0, 0, 0, 6, 0, 15, 0, port >>> 8, port, 0, 0);

  it('creates links of any kind, and says where a vxlan sends', async () => {
    await links.create({ name: 'vx', kind: 'vxlan', mtu: 9_000, group: 7, data: vxlan(77, 4789) });
    expect(await listed('vx')).toMatchObject({ kind: 'vxlan', mtu: 9_000, group: 7, up: false });
    expect(namespace.run('ip', '-d', 'link', 'show', 'vx')).toMatch(/vxlan id 77 .*dstport 4789/);
    const { index } = await listed('vx');
    await links.setForwarding({ interfaceIndex: index, address: Uint8Array.of(192, 0, 2, 7), port: 4790, vni: 42 });
    expect(namespace.run('bridge', 'fdb', 'show', 'dev', 'vx')).toContain('00:00:00:00:00:00 dst 192.0.2.7 port 4790 vni 42 self permanent');
    await expect(links.setForwarding({ interfaceIndex: index, address: new Uint8Array(16), port: 4790, vni: 42 })).rejects.toMatchObject({ code: 'EAFNOSUPPORT' });
    await links.delete('vx');
    await expect(links.setForwarding({ interfaceIndex: index, address: Uint8Array.of(192, 0, 2, 7), port: 1, vni: 1 })).rejects.toMatchObject({ syscall: 'setForwarding' });
  });

  it('refuses what cannot be created, and leaves nothing', async () => {
    await links.create({ name: 'vx', kind: 'vxlan', mtu: 1_500, group: 0, data: vxlan(77, 4789) });
    const refused = (change: object): Promise<void> => links.create({ name: 'vy', kind: 'vxlan', mtu: 1_500, group: 0, data: vxlan(78, 4789), ...change });
    await expect(refused({ data: vxlan(77, 4789) })).rejects.toMatchObject({ code: 'EEXIST', syscall: 'create' });
    await expect(refused({ name: 'vx' })).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(refused({ kind: 'nonesuch' })).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    for (const change of [{ name: '' }, { kind: 'sixteen-letters-' }, { data: new Uint8Array(513) }, { data: 'text' }, { mtu: -1 }, { group: 2 ** 32 }]) {
      await expect(refused(change)).rejects.toMatchObject({ code: 'EINVAL' });
    }
    expect((await links.list()).map((link) => link.name)).toEqual(['lo', 'vx']);
  });

  it('counts packets', async () => {
    namespace.run('ip', 'link', 'set', 'lo', 'up');
    sendDatagrams(namespace, '127.0.0.1');
    const { rxPackets, txPackets } = await listed('lo');
    expect({ rxPackets, txPackets }).toEqual({ rxPackets: 3, txPackets: 3 });
  });

  it('reports refusals with errno, code and call', async () => {
    await links.createVeth({ name: 'va', peer: 'vb' });
    await expect(links.createVeth({ name: 'va', peer: 'vc' })).rejects.toMatchObject({ code: 'EEXIST', errno: 17, syscall: 'createVeth' });
    await expect(links.createVeth({ name: 'vc', peer: 'vb' })).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(links.set('absent', { up: true })).rejects.toMatchObject({ code: 'ENODEV', syscall: 'set' });
    await expect(links.delete('absent')).rejects.toMatchObject({ code: 'ENODEV', syscall: 'delete' });
    await expect(links.set('va', { mtu: 10 })).rejects.toMatchObject({ code: 'EINVAL' });
    for (const name of ['', 'sixteen-letters-', 'a\0b']) {
      await expect(links.createVeth({ name, peer: 'vd' })).rejects.toMatchObject({ code: 'EINVAL' });
    }
    expect((await links.list()).map((link) => link.name).sort()).toEqual(['lo', 'va', 'vb']);
  });

  it('monitors links that come, change and go, and no bridge ports that leave', async () => {
    const events: LinkEvent[] = [];
    await links.monitor((batch) => events.push(...batch));
    namespace.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    namespace.run('ip', 'link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1');
    namespace.run('ip', 'link', 'set', 'd0', 'master', 'br0');
    namespace.run('ip', 'link', 'set', 'd0', 'nomaster');
    namespace.run('ip', 'link', 'set', 'lo', 'up');
    await eventually(() => events.find((event) => event.name === 'lo'));
    expect(events.filter((event) => event.type !== 'new')).toEqual([]);
    namespace.run('ip', 'link', 'del', 'd1');
    const gone = await eventually(() => (events.filter((event) => event.type === 'delete').length === 2 ? events.filter((event) => event.type === 'delete') : undefined));
    expect(gone.map((event) => event.name).sort()).toEqual(['d0', 'd1']);
    expect(new Set(events.map((event) => event.name))).toEqual(new Set(['br0', 'd0', 'd1', 'lo']));
  });

  it('is silent after close, and refuses calls', async () => {
    const events: LinkEvent[] = [];
    await links.monitor((batch) => events.push(...batch));
    const pending = host.together(() => [links.list(), links.list(), links.list(), links.close(), links.close()].map((call) => Promise.resolve<unknown>(call)));
    const [first, ...others] = (await Promise.allSettled(pending)).slice(0, 3);
    expect(first).toMatchObject({ status: 'fulfilled' });
    for (const result of others) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ECANCELED' } });
    await expect(links.list()).rejects.toMatchObject({ code: 'ECANCELED' });
    await expect(links.monitor(() => undefined)).rejects.toMatchObject({ code: 'ECANCELED' });
    namespace.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    await (await host.create('LinkSocket')).list();
    expect(events).toEqual([]);
  });

  it('lets the process end while it monitors', async () => {
    await links.monitor(() => undefined);
    expect(await host.release()).toBe(0);
  });

  it('opens taps with and without offloads, persistent or not', async () => {
    const tap = await host.functions.openTap({ name: 'tap0', vnetHdr: true, persist: false });
    expect(tap.name).toBe('tap0');
    expect(shown('tap0').linkinfo?.info_data).toMatchObject({ type: 'tap', vnet_hdr: true, persist: false });
    expect(await listed('tap0')).toMatchObject({ kind: 'tun' });
    await expect(host.functions.openTap({ name: 'tap0', vnetHdr: true, persist: false })).rejects.toMatchObject({ code: 'EBUSY' });
    expect(namespace.run('ethtool', '-k', 'tap0')).toMatch(/tx-tcp-segmentation: on/);
    await host.functions.closeTap(tap.fd);
    expect((await links.list()).map((link) => link.name)).toEqual(['lo']);
    await expect(host.functions.closeTap(tap.fd)).rejects.toMatchObject({ code: 'EBADF' });
    await expect(host.functions.closeTap(0)).rejects.toMatchObject({ code: 'EBADF' });

    const lasting = await host.functions.openTap({ name: 'tap1', vnetHdr: false, persist: true });
    await host.functions.closeTap(lasting.fd);
    expect((await listed('tap1')).kind).toBe('tun');
    const again = await host.functions.openTap({ name: 'tap1', vnetHdr: false, persist: false });
    await host.functions.closeTap(again.fd);
    expect((await links.list()).map((link) => link.name)).toEqual(['lo']);
    await expect(host.functions.openTap({ name: 'a-name-of-16-char', vnetHdr: false, persist: false })).rejects.toMatchObject({ code: 'EINVAL' });
  });
});

describe('Unix sockets', () => {
  const folder = (): string => mkdtempSync(join(tmpdir(), 'dfw-native-'));
  const sanitized = process.env['DFW_SANITIZED'] === '1';
  /** Prints each datagram that comes to the socket, then ends. */
  const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', chr(0), 1))
print('bound', flush=True)
print(s.recv(65536).decode(), end='', flush=True)
`;

  async function received(address: string, state: string): Promise<string> {
    const receiver = spawn('python3', ['-c', RECEIVER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    receiver.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    try {
      await eventually(() => (output.startsWith('bound\n') ? true : undefined));
      loadNative({ sanitized }).sdNotify(address, state);
      await once(receiver.stdout, 'end');
      return output.slice('bound\n'.length);
    } finally {
      receiver.kill('SIGKILL');
    }
  }

  it('notifies the service manager by path and by abstract name', async () => {
    const path = folder();
    try {
      expect(await received(join(path, 'notify'), 'READY=1\nSTATUS=grün\n')).toBe('READY=1\nSTATUS=grün\n');
      expect(await received(`@dfw-native-${process.pid}`, 'WATCHDOG=1')).toBe('WATCHDOG=1');
      const sdNotify = (address: string, state: string): void => loadNative({ sanitized }).sdNotify(address, state);
      expect(() => sdNotify(join(path, 'absent'), 'READY=1')).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'sendto' }));
      expect(() => sdNotify('relative', 'READY=1')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
      expect(() => sdNotify(`/${'x'.repeat(200)}`, 'READY=1')).toThrow(expect.objectContaining({ code: 'ENAMETOOLONG' }));
    } finally {
      rmSync(path, { recursive: true });
    }
  });

  it('tells who is at the other end of a Unix socket', () => {
    const path = folder();
    try {
      const output = execFileSync(process.execPath, [join(CHILDREN, 'peer-credentials.mjs'), addonPath(), join(path, 'socket')], { encoding: 'utf8' });
      const { pid, own, foreign, other, closed, tcp } = JSON.parse(output);
      expect(own).toEqual({ pid, uid: process.getuid?.(), gid: process.getgid?.() });
      expect(foreign).toEqual({ pid: other, uid: 65_534, gid: 65_534 });
      expect(closed).toBe('EBADF');
      expect(tcp).toBe('EAFNOSUPPORT');
    } finally {
      rmSync(path, { recursive: true });
    }
  });
});

describe('loader', () => {
  it('says where it looked and what to do', () => {
    const root = mkdtempSync(join(tmpdir(), 'dfw-native-'));
    try {
      for (const sanitized of [false, true]) {
        let thrown: unknown;
        try {
          loadNative({ root, sanitized });
        } catch (error) {
          thrown = error;
        }
        if (!isAgentError(thrown, 'E_NATIVE')) throw new Error('no E_NATIVE');
        expect(thrown.message).toContain(join(root, sanitized ? 'build-sanitize/Release/dfw.node' : 'build/Release/dfw.node'));
        expect(thrown.message).toContain('run scripts/setup');
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('end of the process', () => {
  it('is clean when workers and the process end in the middle of everything', () => {
    const namespace = new TestNamespace();
    try {
      expect(namespace.run(process.execPath, join(CHILDREN, 'end-busy.mjs'), addonPath(), 'worker')).toBe('ended\n');
      expect(namespace.run(process.execPath, join(CHILDREN, 'end-busy.mjs'), addonPath(), 'exit')).toBe('');
    } finally {
      namespace.dispose();
    }
  });
});
