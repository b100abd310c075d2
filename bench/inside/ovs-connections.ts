/**
 * New connections through switches that differ in the number of rules, in turn. Prints nanoseconds a packet.
 *
 *   this namespace   cN ---- in    switch N   out ---- sN   this namespace
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OvsConnectionsRequest } from '../benches/ovs-request.js';
import { BenchSwitch, BRIDGE } from '../lib/bench-switch.js';
import { mustRun } from '../lib/command.js';
import { ROOT } from '../lib/datapath.js';
import { OvsDatapath } from '../lib/ovs-datapath.js';
import { prepareNamespaces } from '../lib/routers.js';
import type { DesiredObject } from '../../src/model/objects.js';
import { policyObjects } from '../model/desired.js';
import { admitted, concatenated, SERVER, udpFrame } from '../model/frames.js';
import { addressText, makePolicy, type Policy, type PolicyOptions } from '../model/policy.js';

const request: OvsConnectionsRequest = JSON.parse(process.argv[2] ?? '{}');
/** Small frames fill the switch's packet socket (208 KiB) with some 270. */
const WINDOW = 160;
/**
 * Pairs of client and server port: of one rule; spread over all rules; and the same, each for the first time: no packet's treatment is
 * cached. They stay below the number of cached flows that the switch begins with (10,000), or it would throw some out all the time.
 */
const PATTERNS = ['ports', 'spread', 'first'] as const;
const PAIRS = { ports: 10, spread: 4_096, first: 8_192 } as const;

interface Side {
  readonly ovs: BenchSwitch;
  readonly files: Readonly<Record<(typeof PATTERNS)[number], string>>;
}

const macOf = (end: number, index: number): number[] => [2, 0xbe, 0, 1, end, index];
const macText = (mac: readonly number[]): string => mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Clients of the first rule that has one port, and as many clients as are sent from. */
function ofOneRule(policy: Policy): { address: number; port: number }[] {
  for (const rule of policy.rules) {
    const hosts = policy.hosts[policy.sets.findIndex(({ name }) => name === rule.source.addressSets[0])] ?? [];
    const [range] = rule.ports;
    if (rule.protocol === 17 && range !== undefined && range.first === range.last && hosts.length >= PAIRS.ports) return hosts.map((address) => ({ address, port: range.first }));
  }
  throw new Error('no rule has one port and enough clients');
}

/** Processor time of the switch, all its threads, nanoseconds; in steps of 10 ms. */
async function processorTime(ovs: BenchSwitch): Promise<number> {
  const fields = (await readFile(`/proc/${await ovs.pid()}/stat`, 'latin1')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 1e7;
}

async function side(options: PolicyOptions, index: number): Promise<Side> {
  const ovs = await BenchSwitch.start(`s${index}`, join(request.directory, String(index)));
  const [client, server] = [macOf(1, index), macOf(2, index)];
  for (const [near, far, mac] of [[`c${index}`, 'in', client], [`s${index}`, 'out', server]] as const) {
    await mustRun('ip', ['link', 'add', near, 'address', macText(mac), 'type', 'veth', 'peer', 'name', far, 'netns', ovs.netns]);
    await mustRun('sysctl', ['-qw', `net.ipv6.conf.${near}.disable_ipv6=1`]);
    await mustRun('ip', ['link', 'set', near, 'up']);
    await mustRun('ip', ['-n', ovs.netns, 'link', 'set', far, 'up']);
    await ovs.vsctl('add-port', BRIDGE, far);
  }
  await mustRun('nft', ['-f', '-'], { stdin: `table netdev sink${index} {\nchain s { type filter hook ingress device "s${index}" priority 0; drop; }\n}\n` });
  const policy = makePolicy(options);
  const attachment: DesiredObject[] = [
    { kind: 'VirtualMachine', metadata: { name: 'vm', labels: {} }, nics: [{ name: 'eth0', addresses: [addressText(SERVER)] }] },
    {
      kind: 'Attachment', metadata: { name: 'vm-eth0', labels: {} }, workload: { kind: 'VirtualMachine', name: 'vm' }, vnic: 'eth0', interface: 'out',
      mac: macText(server), addresses: [addressText(SERVER)],
    },
  ];
  const datapath = new OvsDatapath(ovs.directory);
  await datapath.start();
  await datapath.apply(policyObjects(policy, attachment));
  await datapath.driver.settled();
  datapath.stop();
  const files = { ports: '', spread: '', first: '' };
  const ends = admitted(policy, PAIRS.first, 7);
  for (const pattern of PATTERNS) {
    const one = ofOneRule(policy);
    const chosen = (pattern === 'ports' ? one : ends).slice(0, PAIRS[pattern]);
    files[pattern] = join(request.directory, `${pattern}-${index}`);
    await writeFile(files[pattern], concatenated(chosen.map(({ address, port }) => udpFrame({ mac: client, address, port: 1024 }, { mac: server, address: SERVER, port }))));
  }
  return { ovs, files };
}

await prepareNamespaces();
// Statistics of this namespace's devices.
await mustRun('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
const sides: Side[] = [];
for (const [index, options] of request.policies.entries()) sides.push(await side(options, index));
const perSide = (): number[][] => sides.map(() => []);
const times = { ports: perSide(), spread: perSide(), first: perSide() };
const processor = { ports: perSide(), spread: perSide(), first: perSide() };
const cached = { ports: sides.map(() => 0), spread: sides.map(() => 0), first: sides.map(() => 0) };
let sent = 0;
let lost = 0;
for (let round = 0; round < request.rounds; round += 1) {
  for (const pattern of PATTERNS) {
    for (const [index, { ovs, files }] of sides.entries()) {
      await ovs.appctl('dpctl/flush-conntrack');
      await ovs.appctl('revalidator/purge');
      const [packets, warm] = pattern === 'first' ? [PAIRS.first, 0] : [request.packets, Math.max(Math.ceil(request.packets / 5), 2 * PAIRS[pattern])];
      const args = [packets, warm, WINDOW, `c${index}`, `s${index}`, files[pattern], round * 1000];
      const before = await processorTime(ovs);
      const { stdout } = await mustRun(join(ROOT, '.cache/bench/packet-window'), args.map(String));
      const answer: { ns: number; lost: number } = JSON.parse(stdout);
      times[pattern][index]?.push(answer.ns);
      processor[pattern][index]?.push((await processorTime(ovs) - before) / (packets + warm));
      cached[pattern][index] = Number(/current (\d+)/.exec(await ovs.appctl('upcall/show'))?.[1]);
      sent += packets + warm;
      lost += answer.lost;
    }
  }
}
const flows: number[] = [];
for (const { ovs } of sides) flows.push(await ovs.flowCount());
if (lost > sent * 0.001) throw new Error(`${lost} packets did not come through`);
console.log(JSON.stringify({ flows, times, processor, cached, lost }));
process.exit(0);
