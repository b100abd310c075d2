/** Generated cases for the compiler's unit tests: a plan of addresses, the policy as desired objects, and changes of it. */
import { buildWorld, type World } from '../../../src/compile/world.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { generateCase, type GeneratedPacket } from '../../oracle/generate.js';
import type { AddressPlan } from '../../oracle/plan.js';

export const plan: AddressPlan = {
  workloads: [0, 1, 2, 3].map((index) => ({
    name: `vm-${index}`, mac: `02:00:00:00:0${index}:02`, hostMac: `02:00:00:00:0${index}:01`,
    ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index}::/64`],
  })),
  host: ['10.10.255.1', 'fd10::ffff:1'],
  outside: ['203.0.113.0/24', '2001:db8:cafe::/64'],
};

export function worldOf(policy: ExpectedPolicy): World {
  const objects = new Map<string, DesiredObject>();
  const add = (object: DesiredObject): void => void objects.set(objectKey(object), object);
  for (const [index, workload] of plan.workloads.entries()) {
    const addresses = [workload.ipv4, workload.ipv6];
    add({ kind: 'VirtualMachine', metadata: { name: workload.name, labels: {} }, nics: [{ name: 'eth0', addresses }] });
    add({ kind: 'Attachment', metadata: { name: `a${index}`, labels: {} }, workload: { kind: 'VirtualMachine', name: workload.name }, vnic: 'eth0', interface: `veth${index}`, addresses: [] });
  }
  for (const set of policy.sharedSets) add({ kind: 'AddressSet', metadata: { name: set.name, labels: {} }, addresses: set.addresses });
  for (const table of policy.tables) {
    const appliedTo = table.appliedTo === undefined ? {} : { appliedTo: { workloads: table.appliedTo.map((name) => ({ kind: 'VirtualMachine' as const, name })) } };
    add({ kind: 'RuleTable', metadata: { name: table.name, labels: {} }, rules: table.rules, layer2Rules: [], addressSets: table.addressSets, ...appliedTo });
  }
  return buildWorld(objects, { number: (attachment) => Number(attachment.slice(1)) });
}

export const policyOf = (seed: number): { policy: ExpectedPolicy; packets: readonly GeneratedPacket[] } => {
  const made = generateCase(seed, plan, { packets: 50, layer2: false });
  return { policy: { tables: made.tables.map((table) => ({ ...table, layer2Rules: [] })), sharedSets: made.sharedSets, failurePolicy: 'closed' }, packets: made.packets };
};
