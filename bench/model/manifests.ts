/** Objects as manifests of dfw.dev/v1, for benchmarks that go through the daemon. */
import type { AddressMatch, Rule } from '../../src/model/rule.js';
import type { DesiredObject } from '../../src/model/objects.js';

/** AddressSet, RuleTable (without layer 2 rules), VirtualMachine and Attachment; others are an error. */
export function manifest(object: DesiredObject): unknown {
  const head = { apiVersion: 'dfw.dev/v1', kind: object.kind, metadata: { name: object.metadata.name } };
  if (object.kind === 'AddressSet') return { ...head, spec: { addresses: object.addresses } };
  if (object.kind === 'VirtualMachine') return { ...head, spec: { nics: object.nics } };
  if (object.kind === 'Attachment') {
    const { workload, vnic, addresses } = object;
    return { ...head, spec: { workload, vnic, interface: object.interface, addresses } };
  }
  if (object.kind !== 'RuleTable') throw new Error(`no manifest for ${object.kind}`);
  const to = object.appliedTo === undefined ? {} : { appliedTo: { workloads: object.appliedTo.workloads } };
  return { ...head, spec: { ...to, rules: object.rules.map(ruleSpec) } };
}

function ruleSpec(rule: Rule): unknown {
  const ports = rule.ports.map((range) => (range.first === range.last ? String(range.first) : `${range.first}-${range.last}`));
  return {
    id: rule.id, direction: rule.direction, protocol: rule.protocol === 6 ? 'tcp' : rule.protocol === 17 ? 'udp' : 'any', action: rule.action,
    ...end('source', rule.source), ...end('destination', rule.destination), ...(ports.length === 0 ? {} : { ports }),
  };
}

function end(name: string, match: AddressMatch): Record<string, unknown> {
  return match.addressSets.length === 0 ? {} : { [name]: { addressSets: match.addressSets } };
}
