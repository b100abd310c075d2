/** Rule tables and address sets → manifests, for objects that did not come as one. Decoding gives the same object again. */
import type { AddressSetObject, RuleTableObject } from '../../model/objects.js';
import type { AddressMatch, Layer2Rule, Rule } from '../../model/rule.js';
import { ethertypeToText, protocolToText } from '../../model/protocols.js';
import { portRangeToText } from '../../model/rule-check.js';
import { OWN_API_VERSION } from './kinds.js';

export function encodeAddressSet(object: AddressSetObject): unknown {
  return { apiVersion: OWN_API_VERSION, kind: object.kind, metadata: { name: object.metadata.name }, spec: { addresses: object.addresses } };
}

/** A table as rules text can hold it: without labels and appliedTo. */
export function encodeRuleTable(object: Omit<RuleTableObject, 'appliedTo'>): unknown {
  return {
    apiVersion: OWN_API_VERSION,
    kind: object.kind,
    metadata: { name: object.metadata.name },
    spec: {
      ...(object.addressSets.length === 0 ? {} : { addressSets: object.addressSets.map(({ name, addresses }) => ({ name, addresses })) }),
      rules: object.rules.map(encodeRule),
      ...(object.layer2Rules.length === 0 ? {} : { layer2Rules: object.layer2Rules.map(encodeLayer2Rule) }),
    },
  };
}

function encodeRule(rule: Rule): unknown {
  return {
    id: rule.id,
    direction: rule.direction,
    ...(rule.family === undefined ? {} : { family: rule.family === 4 ? 'inet' : 'inet6' }),
    protocol: protocolToText(rule.protocol),
    ...encodeSide('source', rule.source),
    ...(rule.sourcePorts.length === 0 ? {} : { sourcePorts: rule.sourcePorts.map(portRangeToText) }),
    ...encodeSide('destination', rule.destination),
    ...(rule.ports.length === 0 ? {} : { ports: rule.ports.map(portRangeToText) }),
    ...(rule.icmp === undefined ? {} : { icmp: { ...rule.icmp } }),
    action: rule.action,
    ...(rule.log ? { log: true } : {}),
    ...(rule.tag === undefined ? {} : { tag: rule.tag }),
    ...(rule.stateless ? { stateless: true } : {}),
  };
}

function encodeLayer2Rule(rule: Layer2Rule): unknown {
  return {
    id: rule.id,
    direction: rule.direction,
    ethertype: ethertypeToText(rule.ethertype),
    ...encodeSide('source', rule.source),
    ...encodeSide('destination', rule.destination),
    action: rule.action,
    ...(rule.log ? { log: true } : {}),
    ...(rule.tag === undefined ? {} : { tag: rule.tag }),
  };
}

function encodeSide(name: 'source' | 'destination', side: AddressMatch): Readonly<Record<string, unknown>> {
  if (side.addressSets.length === 0 && side.addresses.length === 0) return {};
  return {
    [name]: {
      ...(side.not ? { not: true } : {}),
      ...(side.addressSets.length === 0 ? {} : { addressSets: side.addressSets }),
      ...(side.addresses.length === 0 ? {} : { addresses: side.addresses }),
    },
  };
}
