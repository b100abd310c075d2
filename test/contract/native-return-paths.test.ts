/**
 * Return paths in the kernel: what is forwarded into one device and comes back by another goes on where it was going. The "engine" is a wire
 * between the far ends of both.
 */
import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LinkSocket, ReturnPaths } from '../../src/native/binding.js';
import { NativeHost, type Remote, TestNamespace } from './native-host.js';

const POD_MAC = '02:00:00:00:00:05';
const MARK = 0x40;

function entry(mac: string, side: 0 | 1, interfaceIndex: number): number[] {
  return [...mac.split(':').map((part) => Number.parseInt(part, 16)), side, 0, ...new Uint8Array(Uint32Array.of(interfaceIndex).buffer)];
}

const SERVER = `for (const type of ['udp4', 'udp6']) {
  const socket = require('dgram').createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (message, from) => socket.send(message, from.port, from.address)).bind(7, () => console.log(type));
}`;
/** Prints how many datagrams came back within half a second. */
const CLIENT = `const [target, count] = process.argv.slice(1); let got = 0;
const socket = require('dgram').createSocket(target.includes(':') ? 'udp6' : 'udp4');
const done = () => { console.log(got); process.exit(); };
socket.on('message', () => { if (++got === Number(count)) done(); });
for (let n = 0; n < Number(count); n += 1) setTimeout(() => socket.send('x', 7, target), n);
setTimeout(done, 500);`;

describe('return paths', () => {
  let namespace: TestNamespace;
  let pod: TestNamespace;
  let host: NativeHost;
  let paths: Remote<ReturnPaths>;
  let links: Remote<LinkSocket>;
  let stop: () => unknown = () => undefined;

  beforeEach(async () => {
    namespace = new TestNamespace();
    pod = new TestNamespace();
    host = await NativeHost.start(namespace);
    paths = await host.create('ReturnPaths');
    links = await host.create('LinkSocket');
    const ip = (...values: string[]): string => namespace.run('ip', ...values);
    for (const n of ['0', '1']) ip('link', 'add', `target${n}`, 'type', 'veth', 'peer', 'name', `far${n}`);
    ip('link', 'add', 'pod0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod.name);
    for (const name of ['target0', 'target1', 'far0', 'far1']) {
      namespace.run('sh', '-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
      ip('link', 'set', name, 'up');
    }
    ip('link', 'set', 'pod0', 'up');
    ip('address', 'add', '10.9.0.1/24', 'dev', 'pod0');
    ip('address', 'add', 'fd09::1/64', 'dev', 'pod0', 'nodad');
    pod.run('ip', 'link', 'set', 'eth0', 'address', POD_MAC, 'up');
    pod.run('ip', 'address', 'add', '10.9.0.5/24', 'dev', 'eth0');
    pod.run('ip', 'address', 'add', 'fd09::5/64', 'dev', 'eth0', 'nodad');
    // rp_filter would refuse what seemed to come in by another interface.
    namespace.run('sh', '-c', 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done');
    const server = spawn('ip', ['netns', 'exec', pod.name, process.execPath, '-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    stop = () => server.kill('SIGKILL');
    let text = '';
    for await (const part of server.stdout) {
      text += String(part);
      if (text.includes('udp4') && text.includes('udp6')) break;
    }
    namespace.run('nft', `
      table netdev t {
        chain out { type filter hook ingress device pod0 priority 0; meta mark & ${MARK} == ${MARK} counter accept; ether saddr ${POD_MAC} counter fwd to target0; }
        chain wire0 { type filter hook ingress device far0 priority 0; fwd to far1; }
        chain wire1 { type filter hook ingress device far1 priority 0; fwd to far0; }
        chain in { type filter hook egress device pod0 priority 0; ether daddr ${POD_MAC} counter fwd to target0; }
      }`);
  });
  afterEach(async () => {
    stop();
    await host.dispose();
    pod.dispose();
    namespace.dispose();
  });

  const index = async (name: string): Promise<number> => (await links.list()).find((link) => link.name === name)?.index ?? 0;
  /** Do all of so many datagrams come back from the echo of the pod? */
  function echoes(target: string, count: number): boolean {
    return namespace.run(process.execPath, '-e', CLIENT, target, String(count)).trim() === String(count);
  }
  const rules = (): string => namespace.run('nft', 'list', 'table', 'netdev', 't');

  it('both directions, both families, with a strict reverse path filter', async () => {
    const [device, podIndex] = [await index('target1'), await index('pod0')];
    expect(echoes('10.9.0.5', 1)).toBe(false);
    const id = await paths.set(device, { mark: MARK, entries: Uint8Array.from([...entry(POD_MAC, 0, podIndex), ...entry(POD_MAC, 1, podIndex)]) });
    expect(id).toBeGreaterThan(0);
    expect(await paths.read(device)).toBe(id);
    expect(echoes('10.9.0.5', 20)).toBe(true);
    expect(echoes('fd09::5', 20)).toBe(true);
    // What came back marked passed, and was not sent round again.
    expect(Number(/0x0*40 counter packets (\d+)/.exec(rules())?.[1])).toBeGreaterThanOrEqual(40);
  });

  it('sources before destinations; what fits nothing is dropped', async () => {
    const [device, podIndex] = [await index('target1'), await index('pod0')];
    await paths.set(device, { mark: MARK, entries: Uint8Array.from(entry(POD_MAC, 1, podIndex)) });
    // Echo requests arrive; answers do not come back.
    expect(echoes('10.9.0.5', 2)).toBe(false);
    await paths.set(device, { mark: MARK, entries: Uint8Array.from([...entry(POD_MAC, 1, podIndex), ...entry(POD_MAC, 0, podIndex)]) });
    expect(echoes('10.9.0.5', 2)).toBe(true);
  });

  it('replaced at once, read, removed; twice is fine, and a device that is gone is said', async () => {
    const device = await index('target1');
    expect(await paths.read(device)).toBe(0);
    await paths.remove(device);
    const first = await paths.set(device, { mark: 0, entries: new Uint8Array() });
    const second = await paths.set(device, { mark: 0, entries: new Uint8Array() });
    expect(second).not.toBe(first);
    expect(namespace.run('tc', 'filter', 'show', 'dev', 'target1', 'ingress').match(/dfw_return/g)?.length).toBeGreaterThan(0);
    await paths.remove(device);
    await paths.remove(device);
    expect(await paths.read(device)).toBe(0);
    expect(namespace.run('tc', 'filter', 'show', 'dev', 'target1', 'ingress')).not.toContain('dfw_return');
    await expect(paths.set(9999, { mark: 0, entries: new Uint8Array() })).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(paths.set(device, { mark: 0, entries: new Uint8Array(5) })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(paths.set(device, { mark: 0, entries: Uint8Array.from(entry(POD_MAC, 0, 1).with(6, 2)) })).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('outlives the process that set it', async () => {
    const [device, podIndex] = [await index('target1'), await index('pod0')];
    await paths.set(device, { mark: MARK, entries: Uint8Array.from([...entry(POD_MAC, 0, podIndex), ...entry(POD_MAC, 1, podIndex)]) });
    await host.dispose();
    expect(echoes('10.9.0.5', 3)).toBe(true);
    host = await NativeHost.start(namespace);
    paths = await host.create('ReturnPaths');
    expect(await paths.read(device)).toBeGreaterThan(0);
  });

  it('stands beside a filter of somebody else', async () => {
    namespace.run('tc', 'qdisc', 'add', 'dev', 'target1', 'clsact');
    namespace.run('tc', 'filter', 'add', 'dev', 'target1', 'ingress', 'prio', '1', 'protocol', 'arp', 'u32', 'match', 'u32', '0xffffffff', '0xffffffff', 'at', '0');
    const device = await index('target1');
    await paths.set(device, { mark: MARK, entries: new Uint8Array() });
    await paths.remove(device);
    expect(namespace.run('tc', 'filter', 'show', 'dev', 'target1', 'ingress')).toContain('u32');
  });
});
