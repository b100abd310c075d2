/**
 * Other people's nft with our tables loaded: every command of an administrator's day works, says nothing on stderr, and a
 * saved listing loads again. For the nft of Debian 12 (1.0.6) and of Debian 13 (1.1.3, unpacked by scripts/setup).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { generateTable } from '../oracle/generate.js';
import { tableDocument } from '../oracle/manifest.js';
import { Random } from '../oracle/random.js';
import { Agent } from '../support/agent.js';
import { command, type CommandResult } from '../support/command.js';
import { DATAPATH } from '../support/datapaths.js';
import { attachment, podManifests, ruleTable, virtualMachine, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';

const NEWER = fileURLToPath(new URL('../../.cache/nft-1.1.3/nft', import.meta.url));
const VERSIONS = [['1.0.6', '/usr/sbin/nft'], ['1.1.3', NEWER]] as const;

const OTHERS = `
table inet oth {
  set os { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
  set oi { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
  map om { type ipv4_addr : verdict; elements = { 10.0.0.1 : accept } }
  counter hits { }
  chain oc { ip saddr @os counter accept; ip saddr @oi counter name hits accept; }
}
`;
/** Where the workloads' rules are. */
const OURS = DATAPATH === 'bridge' ? 'bridge' : 'inet';
/** Replies are not learned on Linux bridges. */
const LEARNS = DATAPATH !== 'bridge';
/** Name of the command, its arguments, its input. In order: each stands on the ones before it. */
const MATRIX: readonly [string, readonly string[], string?][] = [
  ['list tables', ['list', 'tables']],
  ['list ruleset', ['list', 'ruleset']],
  ['list ruleset as JSON', ['-j', 'list', 'ruleset']],
  ['list our table', ['list', 'table', OURS, 'dfw']],
  ...(LEARNS ? ([['list the copies of DNS replies', ['list', 'table', 'inet', 'dfw_dns']]] satisfies [string, readonly string[]][]) : []),
  ['list sets', ['list', 'sets']],
  ['list maps', ['list', 'maps']],
  ['list chains', ['list', 'chains']],
  ['list stateless, numeric, with handles', ['-s', '-n', '-a', 'list', 'ruleset']],
  ['check a file', ['-c', '-f', '-'], OTHERS],
  ['load another table', ['-f', '-'], OTHERS],
  ['add an element elsewhere', ['add', 'element', 'inet', 'oth', 'os', '{ 10.0.0.9 }']],
  ['add an interval elsewhere', ['add', 'element', 'inet', 'oth', 'oi', '{ 10.9.0.0/16 }']],
  ['add a rule elsewhere', ['add', 'rule', 'inet', 'oth', 'oc', 'tcp', 'dport', '99', 'accept']],
  ['insert a rule elsewhere', ['insert', 'rule', 'inet', 'oth', 'oc', 'index', '0', 'tcp', 'dport', '98', 'accept']],
  ['reset counters', ['reset', 'counters']],
  ['delete an element elsewhere', ['delete', 'element', 'inet', 'oth', 'os', '{ 10.0.0.9 }']],
  ['delete an interval elsewhere', ['delete', 'element', 'inet', 'oth', 'oi', '{ 10.9.0.0/16 }']],
  ['flush the other table', ['flush', 'table', 'inet', 'oth']],
  ['delete the other table', ['delete', 'table', 'inet', 'oth']],
];

let world: World;
let agent: Agent;

beforeAll(async () => {
  accessSync(NEWER, constants.X_OK); // scripts/setup puts it there
  world = await createWorld({ workloads: 5 });
  await copyDevice(world);
  const random = new Random(20);
  // The fourth workload has one large table and no other; the fifth is a pod.
  const plan = { ...world.plan, workloads: world.plan.workloads.slice(0, 3) };
  const tables = ['table-a', 'table-b'].map((name, index) => {
    const table = generateTable(random, plan, name, 1_000 * (index + 1), [], { maxRules: 14 });
    return tableDocument({ ...table, appliedTo: table.appliedTo ?? plan.workloads.map((workload) => workload.name) });
  });
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': [...workloads(), ...(LEARNS ? [domains()] : [])], 'tables.yaml': [...tables, everyFeature(), manyPorts()], 'controls.yaml': controls() } });
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

/** Virtual machines, and one pod. */
function workloads(): Manifest[] {
  const machines = world.workloads.slice(0, 4);
  return [...machines.flatMap((workload) => [virtualMachine(workload), attachment(workload)]), ...podManifests('x', world.workloads.slice(4))];
}

/** Where copies go. */
async function copyDevice(where: World): Promise<void> {
  await where.exec(where.host, 'ip', ['link', 'add', 'copy0', 'type', 'veth', 'peer', 'name', 'reader0']);
  await where.exec(where.host, 'ip', ['link', 'set', 'copy0', 'up']);
}

/** Copies of all, of some, of samples, with limits of both kinds. */
function controls(): Manifest[] {
  const control = (name: string, spec: Readonly<Record<string, unknown>>): Manifest => ({
    apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name }, spec: { appliedTo: { vmSelector: {} }, direction: 'Both', action: 'Mirror', targetPort: { device: { name: 'copy0' } }, ...spec },
  });
  const match = [{ protocol: 'icmp' }, { protocol: 'udp', ports: ['53', '5000-5010'] }];
  return [
    control('some', { match }), control('sampled', { sampling: { connections: 10 } }), control('sampled-some', { sampling: { connections: 65_536 }, match }),
    control('limited', { rateLimit: { packetsPerSecond: 1_000, bytesPerSecond: 1_000_000, burst: 50 }, match }), control('limited-sample', { rateLimit: { packetsPerSecond: 10 }, sampling: { connections: 2 } }),
    control('pods', { appliedTo: { podSelector: {} } }),
  ];
}

/** Brings in table inet dfw_dns. */
function domains(): Manifest {
  return {
    apiVersion: 'crd.antrea.io/v1beta1', kind: 'ClusterNetworkPolicy', metadata: { name: 'domains' },
    spec: { priority: 1, appliedTo: [{ namespaceSelector: {} }], egress: [{ action: 'Drop', to: [{ fqdn: '*.example.com' }] }] },
  };
}

function everyFeature(): unknown {
  return ruleTable('table-c', {
    appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'vm-0' }] },
    addressSets: [
      { name: 'mixed', addresses: ['172.16.10.12', '10.1.0.0/16', '10.2.0.1-10.2.0.9', 'fd00::1', 'fd01::/64', '0.0.0.0/0'] },
      { name: 'macs', addresses: ['02:00:00:00:00:aa', '02:00:00:00:00:bb'] },
    ],
    rules: [
      { id: 9001, direction: 'inout', protocol: 'tcp', source: { addressSets: ['mixed'] }, ports: ['22', '8000-8100', '65535'], action: 'accept', log: true, tag: 'a tag with; {odd} text' },
      { id: 9002, direction: 'in', protocol: 'icmp', icmp: { type: 8 }, action: 'accept' },
      { id: 9003, direction: 'in', protocol: 'ipv6-icmp', icmp: { type: 135 }, action: 'accept', stateless: true },
      { id: 9004, direction: 'out', protocol: 'udp', source: { not: true, addressSets: ['mixed'] }, sourcePorts: ['68'], ports: ['67'], action: 'drop', log: true },
      { id: 9005, direction: 'inout', protocol: 'any', action: 'reject', log: true },
    ],
    layer2Rules: [
      { id: 9006, direction: 'inout', ethertype: '0x0806', source: { addressSets: ['macs'] }, action: 'drop', log: true },
      { id: 9007, direction: 'inout', ethertype: 'any', action: 'accept' },
    ],
  });
}

/** Enough regions for a hash map of them, asked about peers in both maps of both families and about all others. */
function manyPorts(): unknown {
  const rules = Array.from({ length: 40 }, (_, index) => ({
    id: 9101 + index, direction: 'in', protocol: index % 2 === 0 ? 'tcp' : 'udp', action: index % 3 === 0 ? 'drop' : 'accept',
    ports: Array.from({ length: 15 }, (_port, port) => String(1001 + 2 * (15 * index + port))),
    ...(index % 4 === 0 ? {} : { source: { addressSets: ['peers'] } }),
  }));
  return ruleTable('table-d', {
    appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'vm-3' }] },
    addressSets: [{ name: 'peers', addresses: ['172.16.10.12', '10.1.0.0/16', 'fd00::1', 'fd01::/64'] }],
    rules: [...rules, { id: 9999, direction: 'inout', protocol: 'any', action: 'reject' }],
  });
}

function nft(program: string, args: readonly string[], input?: string, netns = world.host): Promise<CommandResult> {
  return command('ip', ['netns', 'exec', netns, program, ...args], { timeoutMs: 20_000, ...(input === undefined ? {} : { input }) });
}

describe.each(VERSIONS)('nft %s', (version, program) => {
  it('is that version', async () => {
    expect((await nft(program, ['--version'])).stdout).toContain(`v${version}`);
  });

  it.each(MATRIX)('%s', async (_, args, input) => {
    const result = await nft(program, args, input);
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('lists the rules of a large table', async () => {
    expect((await nft(program, ['list', 'table', OURS, 'dfw'])).stdout).toContain('block of ports');
  });

  it('shows the agent as the owner and where to read the rules', async () => {
    const listing = (await nft(program, ['list', 'table', OURS, 'dfw'])).stdout;
    expect(listing).toContain('agentctl');
  });

  it('prints a listing that loads again', async () => {
    const listing = (await nft(program, ['list', 'ruleset'])).stdout;
    expect(listing).toContain('symhash mod 65536');
    expect(listing).toContain('limit name "cap_');
    const other = await createWorld({ workloads: world.workloads.map((workload) => ({ interface: workload.interface })) });
    await copyDevice(other);
    try {
      for (const [loader, path] of VERSIONS) {
        // 1.1.3 does not read every text of 1.0.6 (not ours: plain tables of others show it too).
        if (version === '1.0.6' && loader === '1.1.3') continue;
        await nft('/usr/sbin/nft', ['flush', 'ruleset'], undefined, other.host);
        const loaded = await nft(path, ['-f', '-'], listing, other.host);
        expect({ loader, code: loaded.code, stderr: loaded.stderr }).toEqual({ loader, code: 0, stderr: '' });
        // With the loader itself: 1.0.6 crashes on any set that 1.1.3 wrote, whoever's it is.
        const tables = await nft(path, ['list', 'tables'], undefined, other.host);
        expect(tables.stdout).toContain(`table ${OURS} dfw`);
      }
    } finally {
      await other.close();
    }
  });
});

it('leaves what others loaded as it was, through all changes of ours', async () => {
  await nft('/usr/sbin/nft', ['-f', '-'], OTHERS);
  const before = (await nft('/usr/sbin/nft', ['list', 'table', 'inet', 'oth'])).stdout;
  await agent.write('tables.yaml', [everyFeature()]);
  await agent.sync();
  await agent.write('tables.yaml', []);
  await agent.sync();
  expect((await nft('/usr/sbin/nft', ['list', 'table', 'inet', 'oth'])).stdout).toBe(before);
});
