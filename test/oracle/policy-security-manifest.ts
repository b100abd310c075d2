/** SecurityPolicy and Group of dfw.dev/v1 as manifests: their spec. */
import type { GroupObject, SecurityPolicyObject, SecurityRule, SecurityService } from '../../src/model/policy-objects.js';
import { protocolName } from './manifest.js';

type Document = Readonly<Record<string, unknown>>;

export function securityPolicyDocument(policy: SecurityPolicyObject): Document {
  return {
    category: policy.category, sequence: policy.sequence, ...(policy.disabled ? { disabled: true } : {}), ...some('appliedTo', policy.appliedTo),
    rules: policy.rules.map(ruleDocument),
  };
}

function ruleDocument(rule: SecurityRule, index: number): Document {
  return {
    ...(rule.name === `rule-${index + 1}` ? {} : { name: rule.name }), ...(rule.id === undefined ? {} : { id: rule.id }),
    ...some('sources', rule.sources), ...(rule.sourcesExcluded ? { sourcesExcluded: true } : {}),
    ...some('destinations', rule.destinations), ...(rule.destinationsExcluded ? { destinationsExcluded: true } : {}),
    ...some('services', rule.services.map(serviceDocument)), action: rule.action, direction: rule.direction,
    ...(rule.log ? { logged: true } : {}), ...(rule.disabled ? { disabled: true } : {}), ...some('appliedTo', rule.appliedTo),
  };
}

function serviceDocument({ protocol, ports, sourcePorts, icmp }: SecurityService): Document {
  const text = ({ first, last }: { readonly first: number; readonly last: number }): string => (first === last ? String(first) : `${first}-${last}`);
  return {
    ...(protocol === undefined ? {} : { protocol: protocolName(protocol) }), ...some('ports', ports.map(text)), ...some('sourcePorts', sourcePorts.map(text)),
    ...(icmp === undefined ? {} : { icmpType: icmp.type, ...(icmp.code === undefined ? {} : { icmpCode: icmp.code }) }),
  };
}

export function groupDocument(group: GroupObject): Document {
  return {
    ...some('criteria', group.criteria.map((all) => ({
      all: all.map(({ object, key, operator, values }) => ({ object, key, operator, ...(operator === 'In' || operator === 'NotIn' ? { values } : values.length === 0 ? {} : { value: values[0] }) })),
    }))),
    ...some('addresses', group.addresses), ...some('workloads', group.workloads), ...some('groups', group.groups),
  };
}

function some(key: string, list: readonly unknown[]): Document {
  return list.length === 0 ? {} : { [key]: list };
}
