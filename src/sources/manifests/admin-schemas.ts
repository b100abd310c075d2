/** Schemas of policy.networking.k8s.io: AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1), ClusterNetworkPolicy (v1alpha2). */
import type { SchemaObject } from 'ajv';
import { OPTIONAL_STRING, PORT_NUMBER, SELECTOR, STRINGS, closed, governed, list, maybe, oneOf, part } from './schema-parts.js';

const PROTOCOL = maybe(oneOf('TCP', 'UDP', 'SCTP'));
const PRIORITY = { type: 'integer', minimum: 0, maximum: 1000 };
const SELECTIONS = { namespaces: SELECTOR, pods: maybe(closed({ namespaceSelector: SELECTOR, podSelector: SELECTOR })) };
const SUBJECT = part('selection');
const FROM = { type: 'array', items: part('selection') };
const DOMAINS = { domainNames: maybe(STRINGS) };
const EGRESS_PEER = { ...SELECTIONS, nodes: SELECTOR, networks: maybe(STRINGS) };

const PORT_RANGE = closed({ protocol: PROTOCOL, start: PORT_NUMBER, end: PORT_NUMBER }, ['start', 'end']);
const PORTS = list(closed({ portNumber: maybe(closed({ protocol: PROTOCOL, port: PORT_NUMBER }, ['port'])), namedPort: OPTIONAL_STRING, portRange: maybe(PORT_RANGE) }));

const DESTINATION = maybe(closed({
  destinationPort: maybe(closed({ number: maybe(PORT_NUMBER), range: maybe(closed({ start: PORT_NUMBER, end: PORT_NUMBER }, ['start', 'end'])) })),
}));
const PROTOCOLS = list(closed({ tcp: part('destination'), udp: part('destination'), sctp: part('destination'), destinationNamedPort: OPTIONAL_STRING }));

/** `matches`: what a rule says besides its peers. */
function rules(side: 'from' | 'to', peers: SchemaObject, matches: Readonly<Record<string, SchemaObject>>, ...actions: readonly string[]): SchemaObject {
  return list(closed({ name: OPTIONAL_STRING, action: oneOf(...actions), [side]: peers, ...matches }, ['action', side]));
}

export const ADMIN_NETWORK_POLICY = governed(closed({
  priority: PRIORITY, subject: SUBJECT,
  ingress: rules('from', FROM, { ports: part('ports') }, 'Allow', 'Deny', 'Pass'),
  egress: rules('to', { type: 'array', items: closed({ ...EGRESS_PEER, ...DOMAINS }) }, { ports: part('ports') }, 'Allow', 'Deny', 'Pass'),
}, ['priority', 'subject']), { selection: closed(SELECTIONS), ports: PORTS });

export const BASELINE_ADMIN_NETWORK_POLICY = governed(closed({
  subject: SUBJECT,
  ingress: rules('from', FROM, { ports: part('ports') }, 'Allow', 'Deny'),
  egress: rules('to', { type: 'array', items: closed(EGRESS_PEER) }, { ports: part('ports') }, 'Allow', 'Deny'),
}, ['subject']), { selection: closed(SELECTIONS), ports: PORTS });

/** `Allow` is what the older kinds call `Accept`; both are understood. */
export const CLUSTER_NETWORK_POLICY = governed(closed({
  tier: oneOf('Admin', 'Baseline'), priority: PRIORITY, subject: SUBJECT,
  ingress: rules('from', FROM, { protocols: part('protocols') }, 'Accept', 'Allow', 'Deny', 'Pass'),
  egress: rules('to', { type: 'array', items: closed({ ...EGRESS_PEER, ...DOMAINS }) }, { protocols: part('protocols') }, 'Accept', 'Allow', 'Deny', 'Pass'),
}, ['tier', 'priority', 'subject']), { selection: closed(SELECTIONS), destination: DESTINATION, protocols: PROTOCOLS });
