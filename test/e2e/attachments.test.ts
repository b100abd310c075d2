/** Filters come and go with interfaces and attachments; who is judged where. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { flushConntrack } from '../support/kernel.js';
import { attachment, ruleTable, virtualMachine, workloadManifests } from '../support/manifests.js';
import { createWorld, HOST_IPV4, HOST_IPV6, OUTSIDE_IPV4, type World } from '../support/netns.js';
import { observation, startProbe, type Observation, type Probe, type ProbePacket } from '../support/probe/probe.js';

let world: World;
let probe: Probe;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({ workloads: 4, outside: true });
  probe = await startProbe(world);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [openTable] } });
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await flushConntrack(world);
});

const openTable = ruleTable('open', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] });
let port = 20_000;
/** One SYN from one end to the other; ends are workload names, host or outside. */
async function syn(from: string, to: string, destinationPort = 80, family: 4 | 6 = 4): Promise<Observation> {
  const address = (end: string): string => {
    if (end === 'host') return family === 4 ? HOST_IPV4 : HOST_IPV6;
    if (end === 'outside') return OUTSIDE_IPV4;
    return family === 4 ? world.workload(end).ipv4 : world.workload(end).ipv6;
  };
  const packet: ProbePacket = { from, family, protocol: 6, source: address(from), destination: address(to), sourcePort: (port += 1), destinationPort };
  const [result] = await probe.send([packet], 50);
  if (result === undefined) throw new Error('no answer of the probe');
  return observation(result);
}
/** The same once the port is known: until then nothing passes on Open vSwitch, while nftables knows the interface by its name. */
async function firstSyn(from: string, to: string, destinationPort: number): Promise<Observation> {
  if (world.ovs === undefined) return syn(from, to, destinationPort);
  return eventually('an answer', async () => {
    const seen = await syn(from, to, destinationPort);
    return seen === 'silent' ? undefined : seen;
  });
}
const filterOf = async (interfaceName: string): Promise<Record<string, unknown> | undefined> => {
  const { filters } = await agent.ask<{ filters: Record<string, unknown>[] }>('getfilters');
  return filters.find((one) => one['interface'] === interfaceName);
};
const tables = (...documents: readonly unknown[]): Promise<void> => agent.write('table.yaml', documents).then(() => agent.sync());

describe('who is judged', () => {
  const only = (name: string, rules: readonly unknown[]): unknown => ruleTable(`only-${name}`, { appliedTo: { workloads: [{ kind: 'VirtualMachine', name }] }, rules });
  const rest = (...names: readonly string[]): unknown => ruleTable('rest', {
    appliedTo: { workloads: names.map((name) => ({ kind: 'VirtualMachine', name })) }, rules: [{ id: 900, direction: 'inout', protocol: 'any', action: 'accept' }],
  });

  it('a flow between two local workloads needs both filters, each in its direction', async () => {
    await tables(only('vm-0', [{ id: 11, direction: 'out', protocol: 'tcp', ports: ['81'], action: 'reject' }]), only('vm-1', [{ id: 12, direction: 'in', protocol: 'tcp', ports: ['82'], action: 'reject' }]), rest('vm-2', 'vm-3'));
    for (const family of [4, 6] as const) {
      expect([await syn('vm-0', 'vm-1', 80, family), await syn('vm-0', 'vm-1', 81, family), await syn('vm-0', 'vm-1', 82, family)]).toEqual(['delivered', 'refused', 'refused']);
      expect([await syn('vm-1', 'vm-0', 81, family), await syn('vm-1', 'vm-0', 82, family), await syn('vm-2', 'vm-1', 81, family)]).toEqual(['delivered', 'delivered', 'delivered']);
    }
  });

  it('traffic between the host and a workload is judged at the workload, both ways', async () => {
    await tables(only('vm-0', [{ id: 11, direction: 'out', protocol: 'tcp', ports: ['81'], action: 'drop' }, { id: 12, direction: 'in', protocol: 'tcp', ports: ['82'], action: 'drop' }]), rest('vm-1', 'vm-2', 'vm-3'));
    for (const family of [4, 6] as const) {
      expect([await syn('vm-0', 'host', 80, family), await syn('vm-0', 'host', 81, family), await syn('vm-0', 'host', 82, family)]).toEqual(['delivered', 'silent', 'delivered']);
      expect([await syn('host', 'vm-0', 80, family), await syn('host', 'vm-0', 81, family), await syn('host', 'vm-0', 82, family)]).toEqual(['delivered', 'delivered', 'silent']);
    }
  });

  it('traffic of interfaces without a filter is none of our business', async () => {
    await tables(ruleTable('closed', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'drop' }] }));
    expect([await syn('host', 'outside'), await syn('outside', 'host')]).toEqual(['delivered', 'delivered']);
    expect(await syn('outside', 'vm-0')).toBe('silent');
  });

  it('tables stand in the order of their names, whatever the order of files', async () => {
    await agent.write('a-last-file.yaml', [ruleTable('b', { rules: [{ id: 2, direction: 'inout', protocol: 'tcp', action: 'drop' }] })]);
    await tables(ruleTable('a', { rules: [{ id: 1, direction: 'inout', protocol: 'tcp', ports: ['80'], action: 'accept' }] }));
    expect([await syn('vm-0', 'vm-1', 80), await syn('vm-0', 'vm-1', 81)]).toEqual(['delivered', 'silent']);
    await agent.remove('a-last-file.yaml');
    await agent.sync();
    expect(await syn('vm-0', 'vm-1', 81)).toBe('delivered');
  });

  it('a selector follows labels', async () => {
    const selected = ruleTable('selected', { appliedTo: { selector: { matchLabels: { role: 'db' } } }, rules: [{ id: 5, direction: 'in', protocol: 'tcp', action: 'drop' }] });
    await tables(ruleTable('z-open', { rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] }), selected);
    expect(await syn('vm-0', 'vm-1')).toBe('delivered');
    const [first, ...others] = world.workloads;
    if (first === undefined) throw new Error('a world without workloads');
    const documents = [first, ...others].flatMap((workload) => [virtualMachine(workload, workload.name === 'vm-1' ? { role: 'db' } : {}), attachment(workload)]);
    await agent.write('workloads.yaml', documents);
    await agent.sync();
    expect([await syn('vm-0', 'vm-1'), await syn('vm-0', 'vm-2')]).toEqual(['silent', 'delivered']);
    await agent.write('workloads.yaml', workloadManifests(world));
    await agent.sync();
    expect(await syn('vm-0', 'vm-1')).toBe('delivered');
  });
});

describe('interfaces and attachments', () => {
  beforeAll(() => tables(openTable));

  it('waits for an interface that is not there, and filters it from its first packet', async () => {
    const document = { ...attachment(world.workload(0)), metadata: { name: 'late' } };
    // Declared: a switch's userspace datapath receives nothing from a device that came back, so that it would not learn where its address is.
    const mac = `02:dd:00:00:${(world.workloads.length + 1).toString(16).padStart(2, '0')}:02`;
    const spec = { workload: { kind: 'VirtualMachine', name: 'late' }, vnic: 'eth0', interface: 'veth9', mac };
    await agent.write('late.yaml', [{ ...document, spec }, ruleTable('late', { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'late' }] }, rules: [{ id: 50, direction: 'in', protocol: 'tcp', ports: ['81'], action: 'reject' }] })]);
    await agent.sync();
    expect((await filterOf('veth9'))?.['state']).toBe('waiting');
    expect((await world.addWorkload({ name: 'late', interface: 'veth9' })).mac).toBe(mac);
    probe = await startProbe(world);
    expect(await firstSyn('vm-0', 'late', 81)).toBe('refused');
    expect(await syn('vm-0', 'late', 80)).toBe('delivered');
    expect(await eventually('attached', async () => ((await filterOf('veth9'))?.['state'] === 'attached' ? 'attached' : undefined))).toBe('attached');
  });

  it('an interface that goes and comes back is filtered again', async () => {
    await world.unplug('late');
    expect(await eventually('waiting', async () => ((await filterOf('veth9'))?.['state'] === 'waiting' ? 'waiting' : undefined))).toBe('waiting');
    await world.plug('late');
    probe = await startProbe(world);
    expect([await firstSyn('vm-0', 'late', 81), await syn('vm-0', 'late', 80)]).toEqual(['refused', 'delivered']);
  });

  it('a filter without any table is closed', async () => {
    await tables(ruleTable('others', { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: 'vm-0' }, { kind: 'VirtualMachine', name: 'vm-1' }] }, rules: [{ id: 1, direction: 'inout', protocol: 'any', action: 'accept' }] }));
    expect([await syn('vm-0', 'vm-1'), await syn('vm-0', 'vm-2'), await syn('vm-2', 'vm-0'), await syn('host', 'vm-2')]).toEqual(['delivered', 'silent', 'silent', 'silent']);
    expect((await filterOf('veth2'))?.['state']).toBe('closed');
    await tables(openTable);
  });

  it('attach makes a filter, which survives a restart, and detach removes it', async () => {
    await agent.write('workloads.yaml', world.workloads.slice(0, 3).flatMap((workload) => [virtualMachine(workload), attachment(workload)]));
    await tables(ruleTable('open', { rules: [{ id: 1, direction: 'in', protocol: 'tcp', ports: ['81'], action: 'drop' }, { id: 2, direction: 'inout', protocol: 'any', action: 'accept' }] }));
    expect(await syn('vm-0', 'vm-3', 81)).toBe('delivered');
    const made = await agent.agentctl('attach', 'vm/vm-3', '--interface', 'veth3', '--mac', world.workload(3).mac, '--address', world.workload(3).ipv4);
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
    expect(await eventually('the filter', async () => ((await filterOf('veth3'))?.['state'] === 'attached' ? 'attached' : undefined))).toBe('attached');
    expect(await syn('vm-0', 'vm-3', 81)).toBe('silent');
    await agent.kill();
    await agent.start();
    expect(await syn('vm-0', 'vm-3', 81)).toBe('silent');
    const gone = await agent.agentctl('detach', 'veth3');
    expect({ code: gone.code, stderr: gone.stderr }).toEqual({ code: 0, stderr: '' });
    expect(await eventually('no filter', async () => ((await filterOf('veth3')) === undefined ? 'gone' : undefined))).toBe('gone');
    expect(await syn('vm-0', 'vm-3', 81)).toBe('delivered');
    expect((await agent.agentctl('detach', 'veth3')).code).toBe(4);
  });

  it('one interface bound twice is refused, and the first binding stays', async () => {
    await agent.write('double.yaml', [{ ...attachment(world.workload(0)), metadata: { name: 'zz-double' } }]);
    const result = await agent.agentctl('sync', '-o', 'json');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('zz-double');
    expect((await filterOf('veth0'))?.['state']).toBe('attached');
    await agent.remove('double.yaml');
    await agent.sync();
  });
});

it('failurePolicy open: a filter without a table lets all pass', async () => {
  const other = await createWorld({ workloads: 2 });
  try {
    const open = await Agent.run(other, { config: { failurePolicy: 'open' }, manifests: { 'workloads.yaml': workloadManifests(other) } });
    const its = await startProbe(other);
    const [result] = await its.send([{ from: 'vm-0', family: 4, protocol: 6, source: other.workload(0).ipv4, destination: other.workload(1).ipv4, sourcePort: 40_000, destinationPort: 80 }]);
    expect(result?.delivered).toEqual(['vm-1']);
    const { filters } = await open.ask<{ filters: Record<string, unknown>[] }>('getfilters');
    expect(filters.map((one) => [one['state'], one['failurePolicy']])).toEqual([['open', 'failOpen'], ['open', 'failOpen']]);
  } finally {
    await other.close();
  }
});
