/**
 * The names that Antrea's controller gives rules without one (docs/antrea-network-policy.md, "name"): `ingress-allow-2f0ed6e`, where the
 * last part is the beginning of the SHA-1 of the rule as Go's encoding/json writes it. Made the same way, so that a rule is called the same here.
 */
import { createHash } from 'node:crypto';
import type { AntreaRuleManifest } from './antrea-manifests.js';

const SUFFIX_LENGTH = 7;

/** Order of the fields in Antrea's types, for all of them together. */
const FIELD_ORDER: ReadonlyMap<string, number> = new Map([
  'action', 'protocol', 'port', 'endPort', 'sourcePort', 'sourceEndPort', 'icmp', 'igmp', 'icmpType', 'icmpCode', 'igmpType', 'groupAddress',
  'ports', 'protocols', 'l7Protocols', 'from', 'to', 'toServices', 'cidr', 'except', 'ipBlock', 'podSelector', 'namespaceSelector', 'namespaces',
  'externalEntitySelector', 'group', 'fqdn', 'serviceAccount', 'service', 'nodeSelector', 'name', 'namespace', 'scope', 'enableLogging', 'logLabel',
  'appliedTo', 'match', 'sameLabels', 'matchLabels', 'matchExpressions', 'key', 'operator', 'values',
].map((name, index) => [name, index] as const));

export function automaticRuleName(rule: AntreaRuleManifest, direction: 'ingress' | 'egress'): string {
  const json = JSON.stringify(ordered({ ...rule, enableLogging: rule.enableLogging ?? false }, 'rule'))
    // Go escapes these in every string.
    .replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const hash = createHash('sha1').update(json).digest('hex').slice(0, SUFFIX_LENGTH);
  return `${direction}-${rule.action.toLowerCase()}-${hash}`;
}

/** The value with its fields in Go's order and without those that `omitempty` leaves out. */
function ordered(value: unknown, field: string): unknown {
  if (Array.isArray(value)) return value.map((item) => ordered(item, field));
  if (typeof value !== 'object' || value === null) return value;
  const isMap = field === 'matchLabels';
  const entries = Object.entries(value).filter(([name, child]: [string, unknown]) => isMap || (field === 'rule' && name === 'enableLogging') || !isEmpty(child));
  entries.sort(isMap ? ([a], [b]) => (a < b ? -1 : 1) : ([a], [b]) => (FIELD_ORDER.get(a) ?? 0) - (FIELD_ORDER.get(b) ?? 0));
  return Object.fromEntries(entries.map(([name, child]: [string, unknown]) => [name, ordered(child, name)]));
}

/** As encoding/json sees the Go types: absent pointers, empty strings and lists; an empty selector is there. */
function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
}
