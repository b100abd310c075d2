/** What a copy costs the processor that forwards: three routers with the same rules, without copies, with ours, with those of tc; bursts in turn. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CostAnswer, CostRequest } from '../benches/mirror-request.js';
import { mustRun } from '../lib/command.js';
import { ROOT } from '../lib/datapath.js';
import { LineChild } from '../lib/line-child.js';
import { SENSOR, TAP } from '../lib/mirror-host.js';
import { addRouters, delivered, prepareNamespaces, VNIC, type Router } from '../lib/routers.js';
import { concatenated, SERVER, udpFrame } from '../model/frames.js';

const COPIERS = ['none', 'ours', 'tc'] as const;
const request: CostRequest = JSON.parse(process.argv[2] ?? '{}');
const LOADER = fileURLToPath(new URL('mirror-load.js', import.meta.url));
const CLIENTS = 64;

/** Rules, tap, copies, and a reader of them. */
async function configure(copier: (typeof COPIERS)[number], { namespace }: Router): Promise<LineChild> {
  const inside = (program: string, ...args: readonly string[]): Promise<{ stdout: string }> => mustRun('ip', ['netns', 'exec', namespace, program, ...args]);
  await inside('sysctl', '-qw', 'net.netfilter.nf_conntrack_acct=1', 'net.netfilter.nf_conntrack_timestamp=1');
  await inside('ip', 'link', 'add', TAP, 'arp', 'off', 'type', 'veth', 'peer', 'name', SENSOR);
  for (const name of [TAP, SENSOR]) {
    await inside('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
    await inside('ip', 'link', 'set', name, 'up', 'arp', 'off', 'promisc', name === SENSOR ? 'on' : 'off');
  }
  const links = JSON.parse((await inside('ip', '-j', 'link')).stdout) as { ifname: string; ifindex: number }[];
  const index = (name: string): number => links.find(({ ifname }) => ifname === name)?.ifindex ?? 0;
  await inside(process.execPath, LOADER, JSON.stringify({ copies: copier === 'ours', vnic: index(VNIC), tap: index(TAP), sensor: { interface: SENSOR, interfaceIndex: index(SENSOR) } }));
  if (copier === 'tc') {
    await inside('tc', 'qdisc', 'add', 'dev', VNIC, 'clsact');
    for (const side of ['ingress', 'egress']) await inside('tc', 'filter', 'add', 'dev', VNIC, side, 'protocol', 'all', 'u32', 'match', 'u32', '0', '0', 'action', 'mirred', 'egress', 'mirror', 'dev', TAP);
  }
  const reader = new LineChild('ip', ['netns', 'exec', namespace, join(ROOT, '.cache/bench/tap-reader'), SENSOR]);
  await reader.next(10_000);
  return reader;
}

await prepareNamespaces();
const routers = await addRouters(COPIERS.length);
const readers: LineChild[] = [];
const specs: string[] = [];
for (const [place, copier] of COPIERS.entries()) {
  const router = routers[place];
  if (router === undefined) throw new Error('a variant without a router');
  readers.push(await configure(copier, router));
  const { client, wire, vnic, server } = router.macs;
  const ends = Array.from({ length: CLIENTS }, (_, index) => ({ address: 0x0a00_0100 + index, port: 10_000 + index }));
  const towards = ends.map(({ address, port }) => udpFrame({ mac: client, address, port }, { mac: wire, address: SERVER, port: 7 }));
  const back = ends.map(({ address, port }) => udpFrame({ mac: server, address: SERVER, port: 7 }, { mac: vnic, address, port }));
  for (const [side, frames] of [['in', [...towards, ...back]], ['out', [...back, ...towards]]] as const) {
    const path = join(request.directory, `frames-${place}-${side}`);
    await writeFile(path, concatenated(frames));
    const [from, to] = side === 'in' ? [router.client, router.server] : [router.server, router.client];
    specs.push(`established:${from}:${path}:${to}`);
  }
}
const { stdout } = await mustRun(join(ROOT, '.cache/bench/packet-burst'), [String(request.rounds), String(request.burst), String(request.processor), ...specs], { timeoutMs: 500_000 });
const sent = Math.ceil(request.burst / 64) * 64 * (request.rounds + 1) + CLIENTS;
for (const [place, copier] of COPIERS.entries()) {
  const router = routers[place], reader = readers[place];
  if (router === undefined || reader === undefined) throw new Error('a variant without a router');
  const arrived = await delivered(router);
  if (arrived < sent * 0.999) throw new Error(`${copier}: of ${sent} packets only ${arrived} came through`);
  const { packets, lost } = await reader.ask('?') as { packets: number; lost: number };
  // Both sides, and what established the connections.
  if (copier !== 'none' && packets + lost < 2 * sent * 0.999) throw new Error(`${copier}: of ${2 * sent} copies only ${packets + lost} came`);
  reader.stop();
}
const times = JSON.parse(stdout) as number[][];
const answer: CostAnswer = {
  in: { none: times[0] ?? [], ours: times[2] ?? [], tc: times[4] ?? [] },
  out: { none: times[1] ?? [], ours: times[3] ?? [], tc: times[5] ?? [] },
};
console.log(JSON.stringify(answer));
