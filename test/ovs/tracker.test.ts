/** Connections as the switch's own tracker has them, after real packets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spawn } from 'node:child_process';
import type { TrackedConnection } from '../../src/drivers/ovs/tracker/connection-table.js';
import { ConnectionTracker } from '../../src/drivers/ovs/tracker/tracker.js';
import { UnixctlClient } from '../../src/drivers/ovs/tracker/unixctl.js';
import { systemClock } from '../../src/platform/clock.js';
import { eventually } from '../support/command.js';
import { TestSwitch } from '../support/ovs.js';

const LABEL = 0x11223344_55667788_aabbccdd_00112233n;
const ZONE = 7;

describe('connections through ct()', () => {
  let ovs: TestSwitch;
  let tracker: ConnectionTracker;

  beforeAll(async () => {
    ovs = await TestSwitch.start();
    const control = new UnixctlClient({ directory: ovs.directory, program: 'ovs-vswitchd', clock: systemClock });
    tracker = new ConnectionTracker(control, 'netdev@ovs-netdev');
    const [a, b] = [await ovs.addPort('pa'), await ovs.addPort('pb')];
    const to = (port: typeof a): string => `output:${port.ofport}`;
    const commit = `ct(commit,zone=${ZONE},exec(set_field:0x5->ct_mark,set_field:0x${LABEL.toString(16)}->ct_label))`;
    const nat = `ct(commit,zone=9,nat(dst=${b.ipv4}:8080),table=2)`;
    await ovs.addFlows([
      'table=0,priority=10,ip,nw_dst=10.99.0.9 actions=ct(table=3,zone=9,nat)',
      `table=0,priority=9,tcp,in_port=${b.ofport},tp_src=8080 actions=ct(table=4,zone=9,nat)`,
      `table=0,priority=5,ip actions=ct(table=1,zone=${ZONE})`, `table=0,priority=5,ipv6 actions=ct(table=1,zone=${ZONE})`,
      ...['ip', 'ipv6'].flatMap((family) => [a, b].map((port) => `table=1,priority=5,ct_state=+new+trk,${family},in_port=${port.ofport} actions=${commit},${to(port === a ? b : a)}`)),
      ...[a, b].map((port) => `table=1,priority=5,ct_state=-new+trk,in_port=${port.ofport} actions=${to(port === a ? b : a)}`),
      `table=2,actions=mod_dl_dst:${b.mac},${to(b)}`,
      `table=3,ct_state=+new+trk,tcp actions=${nat}`, `table=3,ct_state=-new+trk actions=mod_dl_dst:${b.mac},${to(b)}`,
      `table=4,actions=${to(a)}`,
    ]);
    // The translated address needs a way out of the workload.
    await ovs.exec('pa', 'ip', ['route', 'add', '10.99.0.9/32', 'dev', 'eth0']);
    await ovs.exec('pa', 'ip', ['neigh', 'replace', '10.99.0.9', 'lladdr', b.mac, 'dev', 'eth0', 'nud', 'permanent']);
  });
  afterAll(() => ovs.close());

  async function connections(zone?: number): Promise<TrackedConnection[]> {
    const { connections: table, malformed } = await tracker.dump(zone);
    expect(malformed).toBe(0);
    return Array.from({ length: table.length }, (_none, index) => table.connection(index)).filter((connection) => connection !== undefined);
  }

  /** Opens a TCP connection and keeps it until the callback is done. */
  async function whileConnected(address: string, port: number, serverPort: number, run: () => Promise<void>): Promise<void> {
    const inNetns = (name: string, script: string, ...args: string[]) => spawn('ip', ['netns', 'exec', ovs.port(name).netns, process.execPath, '-e', script, ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
    const server = inNetns('pb', "require('net').createServer((s) => s.on('error', () => {}).pipe(s)).listen({ host: '::', port: Number(process.argv[1]) }, () => console.log('listening'))", String(serverPort));
    const client = inNetns('pa', "require('net').connect(Number(process.argv[2]), process.argv[1], function () { this.write('x'); }).on('data', () => console.log('connected'))", address, String(port));
    const ends = [server, client].map((child) => new Promise<void>((resolve) => child.once('exit', () => resolve())));
    client.kill('SIGSTOP');
    try {
      await new Promise((resolve) => server.stdout.once('data', resolve));
      client.kill('SIGCONT');
      await Promise.race([new Promise((resolve) => client.stdout.once('data', resolve)), ends[1]?.then(() => Promise.reject(new Error('no connection')))]);
      await run();
    } finally {
      for (const child of [server, client]) child.kill('SIGKILL');
      await Promise.all(ends);
    }
  }

  const udp = (port: string, address: string, sourcePort: number, destinationPort: number) =>
    ovs.exec(port, process.execPath, ['-e', "const [a, s, d] = process.argv.slice(1); const u = require('dgram').createSocket(a.includes(':') ? 'udp6' : 'udp4'); u.bind(Number(s), () => u.send('x', Number(d), a, () => u.close()))", address, String(sourcePort), String(destinationPort)]);

  it('are found with tuple, zone, mark, label, state and time left', async () => {
    const [a, b] = [ovs.port('pa'), ovs.port('pb')];
    await whileConnected(b.ipv4, 8001, 8001, async () => {
      const [one] = (await connections(ZONE)).filter(({ protocol, original }) => protocol === 6 && original.destinationPort === 8001);
      expect(one).toMatchObject({
        family: 4, zone: ZONE, mark: 5, label: LABEL, tcpState: { original: 'ESTABLISHED', reply: 'ESTABLISHED' }, startMs: 0,
        original: { source: a.ipv4, destination: b.ipv4 }, reply: { source: b.ipv4, destination: a.ipv4, sourcePort: 8001, destinationPort: one?.original.sourcePort },
      });
      expect(one?.timeoutSeconds).toBeGreaterThan(80_000);
      expect(one?.counters).toBeUndefined();
    });
    await eventually('the end of the connection', async () => ((await connections(ZONE)).some(({ tcpState }) => tcpState?.original === 'ESTABLISHED') ? undefined : true));
  });

  it('are found over IPv6, for UDP and ICMP', async () => {
    const [a, b] = [ovs.port('pa'), ovs.port('pb')];
    await udp('pa', b.ipv6, 4001, 5301);
    await udp('pb', a.ipv4, 4002, 5302);
    // The raw reply of an echo is the kernel's; only the request is made here.
    await ovs.exec('pa', '/usr/bin/python3', ['-c', `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); s.bind(("", 77)); s.settimeout(3)
s.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]), ("${b.ipv4}", 0)); s.recv(100)`]);
    const found = await eventually('all three', async () => {
      const all = await connections();
      return [5301, 5302].every((port) => all.some(({ original }) => original.destinationPort === port)) && all.some(({ protocol }) => protocol === 1) ? all : undefined;
    });
    expect(found.find(({ original }) => original.destinationPort === 5301)).toMatchObject({ family: 6, protocol: 17, original: { source: a.ipv6, destination: b.ipv6, sourcePort: 4001 }, label: LABEL });
    expect(found.find(({ original }) => original.destinationPort === 5302)).toMatchObject({ family: 4, protocol: 17, original: { source: b.ipv4, destination: a.ipv4, sourcePort: 4002 } });
    expect(found.find(({ protocol }) => protocol === 1)).toMatchObject({ family: 4, original: { source: a.ipv4, destination: b.ipv4, sourcePort: 77, destinationPort: 8 * 256 }, reply: { sourcePort: 77, destinationPort: 0 } });
    expect(await tracker.count()).toBeGreaterThanOrEqual(found.length);
  });

  it('show who truly answers where addresses are translated, and zones apart', async () => {
    const [a, b] = [ovs.port('pa'), ovs.port('pb')];
    await whileConnected('10.99.0.9', 80, 8080, async () => {
      const translated = (await connections(9)).filter(({ original }) => original.destination === '10.99.0.9');
      expect(translated).toMatchObject([{ zone: 9, mark: 0, label: 0n, original: { source: a.ipv4, destinationPort: 80 }, reply: { source: b.ipv4, sourcePort: 8080, destination: a.ipv4 } }]);
      expect((await connections(ZONE)).some(({ original }) => original.destination === '10.99.0.9')).toBe(false);
    });
  });

  it('are ended one by one, and by zone', async () => {
    const b = ovs.port('pb');
    await udp('pa', b.ipv4, 4101, 5401);
    await udp('pa', b.ipv4, 4101, 5402);
    await udp('pa', b.ipv6, 4101, 5403);
    const ports = async (): Promise<number[]> => (await connections(ZONE)).map(({ original }) => original.destinationPort).filter((port) => port > 5400 && port < 5410).toSorted((left, right) => left - right);
    await eventually('three connections', async () => ((await ports()).length === 3 ? true : undefined));
    for (const victim of (await connections(ZONE)).filter(({ original }) => original.destinationPort === 5401 || original.destinationPort === 5403)) {
      await tracker.end(victim);
      await tracker.end(victim); // no error when it has gone
    }
    expect(await ports()).toEqual([5402]);
    await tracker.endZone(ZONE);
    expect(await connections(ZONE)).toEqual([]);
  });

  it('are none while the switch has no such datapath; a switch that hangs or has gone is an error that says so', async () => {
    const control = new UnixctlClient({ directory: ovs.directory, program: 'ovs-vswitchd', clock: systemClock });
    const other = new ConnectionTracker(control, 'system@ovs-system');
    expect([(await other.dump()).connections.length, await other.count()]).toEqual([0, 0]);
    await expect(control.call('no/such', [])).rejects.toMatchObject({ code: 'E_INVALID' });
    await ovs.pause('ovs-vswitchd');
    try {
      await expect(control.call('version', [], { timeoutMs: 200 })).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    } finally {
      await ovs.resume('ovs-vswitchd');
    }
    expect(await control.call('version', [])).toContain('Open vSwitch');
    await ovs.kill('ovs-vswitchd');
    await expect(tracker.count()).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await ovs.start();
    expect(await tracker.count()).toBe(0);
  });
});
