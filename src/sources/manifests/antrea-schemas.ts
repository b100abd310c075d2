/** Schemas of crd.antrea.io and of the group it was before 1.0. Every version of a kind is read as the newest, of which the others are parts. */
import { SIGNATURE_ACTIONS } from '../../model/signature.js';
import {
  BOOLEAN, BYTE, IP_BLOCK, OPTIONAL_IP_BLOCK, OPTIONAL_STRING, SELECTOR, STRING, STRINGS, closed, governed, list, maybe, oneOf, open, part,
} from './schema-parts.js';

const INTEGER = { type: 'integer' };
const QUANTITY = { type: ['string', 'number'] };
const NAMED = closed({ name: STRING, namespace: STRING }, ['name', 'namespace']);
const SCOPE = maybe(oneOf('Cluster', 'ClusterSet'));
const SELECTORS = { podSelector: SELECTOR, namespaceSelector: SELECTOR, externalEntitySelector: SELECTOR, nodeSelector: SELECTOR };

export const TIER = governed(closed({ priority: INTEGER, description: OPTIONAL_STRING }, ['priority']));

const TARGETS = list(closed({ ...SELECTORS, group: OPTIONAL_STRING, serviceAccount: maybe(NAMED), service: {} }));
const PEERS = list(closed({
  ...SELECTORS, ipBlock: OPTIONAL_IP_BLOCK, group: OPTIONAL_STRING, serviceAccount: maybe(NAMED), fqdn: OPTIONAL_STRING, scope: SCOPE,
  namespaces: maybe(closed({ match: maybe(oneOf('Self')), sameLabels: maybe(STRINGS) })),
}));
const OPTIONAL_BYTE = maybe(BYTE);
const PROTOCOLS = list(closed({
  icmp: maybe(closed({ icmpType: OPTIONAL_BYTE, icmpCode: OPTIONAL_BYTE })),
  igmp: maybe(closed({ igmpType: OPTIONAL_BYTE, groupAddress: OPTIONAL_STRING })),
}));
const PORTS = list(closed({
  protocol: maybe(oneOf('TCP', 'UDP', 'SCTP')), port: { type: ['integer', 'string', 'null'] }, endPort: maybe(INTEGER),
  sourcePort: maybe(INTEGER), sourceEndPort: maybe(INTEGER),
}));
const RULES = list(closed({
  action: oneOf('Allow', 'Drop', 'Reject', 'Pass'), ports: PORTS, protocols: PROTOCOLS, l7Protocols: list({}), from: part('peers'), to: part('peers'),
  toServices: list(closed({ name: STRING, namespace: OPTIONAL_STRING, scope: SCOPE }, ['name'])),
  name: OPTIONAL_STRING, enableLogging: maybe(BOOLEAN), logLabel: OPTIONAL_STRING, appliedTo: part('targets'),
}, ['action']));
export const ANTREA_POLICY = governed(closed({
  tier: OPTIONAL_STRING, priority: { type: 'number', minimum: 1, maximum: 10_000 }, appliedTo: part('targets'), ingress: part('rules'), egress: part('rules'),
}, ['priority']), { targets: TARGETS, peers: PEERS, rules: RULES });

export const ANTREA_GROUP = governed(closed({
  ...SELECTORS, ipBlock: OPTIONAL_IP_BLOCK, ipBlocks: list(IP_BLOCK), serviceReference: maybe(closed({ name: STRING, namespace: OPTIONAL_STRING }, ['name'])), childGroups: maybe(STRINGS),
}));
export const EXTERNAL_ENTITY = governed(closed({
  endpoints: list(closed({ ip: OPTIONAL_STRING, name: OPTIONAL_STRING })),
  ports: list(closed({ protocol: maybe(oneOf('TCP', 'UDP', 'SCTP')), port: maybe(INTEGER), name: OPTIONAL_STRING })),
  externalNode: OPTIONAL_STRING,
}));
export const EGRESS = governed(closed({
  appliedTo: maybe(closed({ podSelector: SELECTOR, namespaceSelector: SELECTOR })), egressIP: OPTIONAL_STRING, egressIPs: maybe(STRINGS),
  externalIPPool: OPTIONAL_STRING, externalIPPools: maybe(STRINGS), bandwidth: maybe(closed({ rate: QUANTITY, burst: QUANTITY }, ['rate', 'burst'])),
}), {}, maybe(open({ egressIP: OPTIONAL_STRING })));
export const EXTERNAL_IP_POOL = governed(closed({
  ipRanges: { type: 'array', items: closed({ cidr: OPTIONAL_STRING, start: OPTIONAL_STRING, end: OPTIONAL_STRING }) }, subnetInfo: {}, nodeSelector: SELECTOR,
}, ['ipRanges']));

const PORT_NAME = closed({ name: STRING }, ['name']);
const bounded = (maximum: number): object => maybe({ type: 'integer', minimum: 0, maximum });
const UDP_TUNNEL = closed({ remoteIP: STRING, vni: bounded(0xff_ffff), destinationPort: bounded(65_535) }, ['remoteIP']);
const TARGET_PORT = closed({
  ovsInternal: PORT_NAME, device: PORT_NAME, geneve: UDP_TUNNEL, vxlan: UDP_TUNNEL,
  gre: closed({ remoteIP: STRING, key: bounded(0xffff_ffff) }, ['remoteIP']),
  erspan: closed({ remoteIP: STRING, sessionID: bounded(1023), version: { type: 'integer', enum: [1, 2] }, index: bounded(0xf_ffff), dir: bounded(1), hardwareID: bounded(63) }, ['remoteIP', 'version']),
});
const TRAFFIC_APPLIED_TO = closed({ podSelector: SELECTOR, namespaceSelector: SELECTOR, vmSelector: SELECTOR, nodeSelector: SELECTOR });
const TRAFFIC_MATCH = list(closed({ protocol: { type: ['string', 'integer'] }, ports: list({ type: ['string', 'integer'] }) }, ['protocol']));
export const TRAFFIC_CONTROL = governed(closed({
  appliedTo: TRAFFIC_APPLIED_TO, match: TRAFFIC_MATCH,
  direction: oneOf('Ingress', 'Egress', 'Both'), action: oneOf('Mirror', 'Redirect'), targetPort: TARGET_PORT, returnPort: TARGET_PORT,
  sampling: maybe(closed({ connections: { type: 'integer', minimum: 1, maximum: 0x1_0000 } }, ['connections'])),
  rateLimit: maybe(closed({
    packetsPerSecond: maybe({ type: 'integer', minimum: 1, maximum: 100_000_000 }), bytesPerSecond: maybe({ type: 'integer', minimum: 1_000, maximum: 10_000_000_000 }),
    burst: maybe({ type: 'integer', minimum: 1, maximum: 100_000_000 }),
  })),
  refused: maybe(oneOf('copied', 'left-out')),
}, ['appliedTo', 'direction', 'action', 'targetPort']));
const SID = { type: 'integer', minimum: 1, maximum: 0xffff_ffff };
const SIDS = list(SID);
export const IDPS_POLICY = governed(closed({
  appliedTo: TRAFFIC_APPLIED_TO, match: TRAFFIC_MATCH, direction: maybe(oneOf('Ingress', 'Egress', 'Both')), mode: maybe(oneOf('detect', 'prevent')), onFailure: maybe(oneOf('bypass', 'block')),
  signatures: maybe(closed({
    severities: list({ type: 'integer', minimum: 1, maximum: 4 }), categories: maybe(STRINGS), sids: SIDS, disabledSids: SIDS,
    overrides: list(closed({ sid: SID, action: oneOf(...SIGNATURE_ACTIONS) }, ['sid', 'action'])),
  })),
}, ['appliedTo']));
