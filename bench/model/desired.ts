/** A policy as the objects that a source would deliver, decoded. */
import type { FilterNumbers } from '../../src/compile/world.js';
import { objectKey, type AddressSetObject, type DesiredObject, type RuleTableObject } from '../../src/model/objects.js';
import { LIMITS, type Rule } from '../../src/model/rule.js';
import type { Policy } from './policy.js';

/** Objects by key. */
export function desiredObjects(objects: readonly DesiredObject[]): Map<string, DesiredObject> {
  return new Map(objects.map((object) => [objectKey(object), object]));
}

export function addressSet(name: string, addresses: readonly string[]): AddressSetObject {
  return { kind: 'AddressSet', metadata: { name, labels: {} }, addresses };
}

/** As many tables as the limit of rules per table asks, in their order, for one workload or for all. */
export function ruleTables(rules: readonly Rule[], name: string, workload?: string): RuleTableObject[] {
  const tables: RuleTableObject[] = [];
  for (let first = 0; first < rules.length; first += LIMITS.rulesPerTable) {
    tables.push({
      kind: 'RuleTable', metadata: { name: `${name}-${tables.length}`, labels: {} },
      ...(workload === undefined ? {} : { appliedTo: { workloads: [{ kind: 'VirtualMachine', name: workload }] } }),
      addressSets: [], layer2Rules: [], rules: rules.slice(first, first + LIMITS.rulesPerTable),
    });
  }
  return tables;
}

/** A virtual machine with one vNIC at an interface of this host. */
export function workload(name: string, interfaceName: string, addresses: readonly string[]): DesiredObject[] {
  return [
    { kind: 'VirtualMachine', metadata: { name, labels: {} }, nics: [{ name: 'eth0', addresses }] },
    {
      kind: 'Attachment', metadata: { name: `${name}-eth0`, labels: {} }, workload: { kind: 'VirtualMachine', name },
      vnic: 'eth0', interface: interfaceName, addresses,
    },
  ];
}

export function policyObjects(policy: Policy, filters: readonly DesiredObject[]): DesiredObject[] {
  return [...filters, ...policy.sets.map((set) => addressSet(set.name, set.addresses)), ...ruleTables(policy.rules, 'policy')];
}

/** Numbers in the order of asking. */
export class CountedNumbers implements FilterNumbers {
  private readonly known = new Map<string, number>();

  number(attachment: string): number {
    const number = this.known.get(attachment) ?? this.known.size + 1;
    this.known.set(attachment, number);
    return number;
  }
}
