import { describe, expect, it } from 'vitest';
import { bindPorts, declaredOf, type Bound, type WorkloadPort } from '../../../src/discovery/port-attachments.js';
import { objectKey, type DesiredObject, type VirtualMachineObject } from '../../../src/model/objects.js';

const UUID = 'c7a5fdbd-edaf-9455-926a-d65c16db1809';
const meta = (name: string): DesiredObject['metadata'] => ({ name, labels: {} });
const machine = (name: string, nics: VirtualMachineObject['nics'], uuid = UUID.toUpperCase()): VirtualMachineObject => ({ kind: 'VirtualMachine', metadata: meta(name), uuid, nics });
const attachment = (name: string, device: string): DesiredObject => ({ kind: 'Attachment', metadata: meta(name), workload: { kind: 'Pod', namespace: 'n', name: 'a' }, vnic: 'eth0', interface: device, addresses: [] });
const pod = (name: string, rest: Partial<WorkloadPort> = {}): WorkloadPort => ({ name, workload: { kind: 'Pod', namespace: 'n', name: 'a' }, addresses: [], ...rest });
const guest = (name: string, rest: Partial<WorkloadPort> = {}): WorkloadPort => ({ name, workload: { kind: 'VirtualMachine', uuid: UUID }, addresses: [], ...rest });
const bind = (ports: readonly WorkloadPort[], ...sources: readonly (readonly DesiredObject[])[]): Bound =>
  bindPorts(ports, sources.map((objects) => declaredOf(new Map(objects.map((object) => [objectKey(object), object])))), []);

describe('ports of pods', () => {
  it('become Attachments', () => {
    const { attachments, problems } = bind([pod('p1', { mac: '02:00:00:00:00:01', addresses: ['10.0.0.1', 'fd00::1'] }), pod('p2', { vnic: 'ns1/blue-net' })]);
    expect(problems).toEqual([]);
    expect(attachments).toEqual([
      { kind: 'Attachment', metadata: meta('ovs-p1'), workload: { kind: 'Pod', namespace: 'n', name: 'a' }, vnic: 'eth0', interface: 'p1', mac: '02:00:00:00:00:01', addresses: ['10.0.0.1', 'fd00::1'], early: true },
      { kind: 'Attachment', metadata: meta('ovs-p2'), workload: { kind: 'Pod', namespace: 'n', name: 'a' }, vnic: 'ns1-blue-net', interface: 'p2', addresses: [], early: true },
    ]);
  });

  it('are refused by name where names are none', () => {
    const { attachments, problems } = bind([pod('p1', { workload: { kind: 'Pod', namespace: 'N\u001b', name: 'a' } }), pod('a-name-too-long-for-linux'), pod('p3', { workload: { kind: 'Pod', namespace: 'n', name: '' } })]);
    expect(attachments).toEqual([]);
    expect(problems).toHaveLength(3);
    expect(problems[0]).toContain('port "p1" has no filter: the namespace "N\\u001b" is not a DNS label');
    expect(problems[1]).toContain('longer than 15 characters');
  });
});

describe('a declared Attachment', () => {
  it('of the same interface wins, whichever source has it', () => {
    expect(bind([pod('p1'), pod('p2')], [], [attachment('mine', 'p1')]).attachments.map((entry) => entry.interface)).toEqual(['p2']);
  });
  it('keeps its name to itself', () => {
    expect(bind([pod('p1')], [attachment('ovs-p1', 'elsewhere')]).attachments[0]?.metadata.name).toMatch(/^ovs-p1-/);
  });
});

describe('ports of virtual machines', () => {
  const nics = [{ name: 'eth0', mac: '02:00:00:00:00:01', addresses: ['10.0.0.1'] }, { name: 'eth1', addresses: [] }];

  it('belong to the object with their UUID, and to its vNIC with their MAC address, else the only one without', () => {
    const ports = [guest('t0', { mac: '02:00:00:00:00:01' }), guest('t1', { mac: '02:00:00:00:00:02' })];
    const { attachments, problems } = bind(ports, [machine('vm', nics)]);
    expect(problems).toEqual([]);
    expect(attachments.map(({ workload, vnic, mac }) => [workload, vnic, mac])).toEqual([
      [{ kind: 'VirtualMachine', name: 'vm' }, 'eth0', '02:00:00:00:00:01'], [{ kind: 'VirtualMachine', name: 'vm' }, 'eth1', '02:00:00:00:00:02'],
    ]);
    // Nothing to wait for: whoever made the object said which machine it is.
    expect(attachments.map(({ early }) => early)).toEqual([undefined, undefined]);
    expect(bind([guest('t0')], [machine('vm', nics.slice(0, 1))]).attachments[0]?.vnic).toBe('eth0');
    expect(bind([guest('t0')], [machine('vm', [])]).attachments[0]?.vnic).toBe('eth0');
  });

  it('have no filter and are named where there is no such object, or two', () => {
    expect(bind([guest('t0')], [machine('vm', nics, 'not a uuid')])).toMatchObject({ attachments: [], problems: [`port "t0" has no filter: there is no VirtualMachine with spec.uuid ${UUID}`] });
    expect(bind([guest('t0')], [machine('a', nics)], [machine('b', nics)])).toMatchObject({ attachments: [], problems: [`port "t0" has no filter: VirtualMachine/a and VirtualMachine/b have the same spec.uuid ${UUID}`] });
    // Of one object in two sources only the first is in force.
    expect(bind([guest('t0')], [machine('a', nics, UUID.replace('c', 'd'))], [machine('a', nics)]).attachments).toEqual([]);
  });

  it('never get another vNIC\'s addresses', () => {
    const { attachments, problems } = bind([guest('tap0', { mac: '02:00:00:00:00:09' })], [machine('vm', nics.slice(0, 1))]);
    expect(attachments.map(({ vnic, mac }) => [vnic, mac])).toEqual([['tap0', '02:00:00:00:00:09']]);
    expect(problems).toEqual(['port "tap0": no vNIC of VirtualMachine/vm has its MAC address 02:00:00:00:00:09; none of its addresses is known']);
    expect(bind([guest('tap0')], [machine('vm', nics)]).problems[0]).toContain('(not said)');
  });
});
