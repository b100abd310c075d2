/** AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy of policy.networking.k8s.io → objects. */
import type { AdminPeer, AdminPolicyObject, AdminPort, AdminRule, AdminSubject, PolicyPort } from '../../model/policy-objects.js';
import type {
  AdminPeerManifest, AdminPolicyManifest, AdminPortManifest, AdminProtocolManifest, AdminRuleManifest, AdminSubjectManifest, DestinationManifest, PortRangeManifest,
} from './admin-manifests.js';
import { domainNameProblem, portNameProblem, ruleNameProblem } from '../../model/names.js';
import { decodePrefix } from './addresses.js';
import { NONE, checkPolicyRules, exactlyOne, refuse, refuseIf, type Draft } from './checks.js';
import { decodeClusterMeta } from './metadata.js';
import { PROTOCOL_NUMBERS, checkEnd, type ProtocolName } from './ports.js';
import { EVERYTHING, decodeOptionalSelector } from './selectors.js';

const RULE_NAME_LENGTH = 100;

export function decodeAdminNetworkPolicy(manifest: AdminPolicyManifest): AdminPolicyObject {
  return decodePolicy(manifest, 'AdminNetworkPolicy', 'Admin');
}

export function decodeBaselineAdminNetworkPolicy(manifest: AdminPolicyManifest): AdminPolicyObject {
  if (manifest.metadata.name !== 'default') throw refuse('metadata.name', 'there is one BaselineAdminNetworkPolicy in a cluster and its name is default');
  return decodePolicy(manifest, 'BaselineAdminNetworkPolicy', 'Baseline');
}

export function decodeClusterNetworkPolicy(manifest: AdminPolicyManifest): AdminPolicyObject {
  return decodePolicy(manifest, 'ClusterNetworkPolicy', manifest.spec.tier ?? 'Admin');
}

function decodePolicy({ metadata, spec }: AdminPolicyManifest, kind: AdminPolicyObject['kind'], tier: AdminPolicyObject['tier']): AdminPolicyObject {
  const ingress = spec.ingress ?? NONE;
  const egress = spec.egress ?? NONE;
  checkPolicyRules(ingress.length + egress.length);
  exactlyOne(spec.subject, ['namespaces', 'pods'], 'spec.subject');
  return {
    kind,
    metadata: decodeClusterMeta(metadata),
    tier,
    priority: spec.priority ?? 0,
    subject: decodeSubject(spec.subject, 'spec.subject'),
    ingress: ingress.map((rule, index) => decodeRule(rule, `spec.ingress[${index}]`, 'from')),
    egress: egress.map((rule, index) => decodeRule(rule, `spec.egress[${index}]`, 'to')),
  };
}

function decodeRule(manifest: AdminRuleManifest, path: string, side: 'from' | 'to'): AdminRule {
  const { ports, protocols } = manifest;
  const name = manifest.name ?? '';
  if (name !== '') refuseIf(ruleNameProblem(name), `${path}.name`);
  if (name.length > RULE_NAME_LENGTH) throw refuse(`${path}.name`, `is longer than ${RULE_NAME_LENGTH} characters`);
  const peers = manifest[side] ?? NONE;
  if (peers.length === 0) throw refuse(`${path}.${side}`, 'is empty; a rule needs at least one peer (namespaces: {} is every pod)');
  const action = manifest.action === 'Deny' ? 'Drop' : manifest.action === 'Pass' ? 'Pass' : 'Allow';
  const rule: AdminRule = {
    name,
    action,
    peers: peers.map((peer, index) => decodePeer(peer, `${path}.${side}[${index}]`)),
    ports: [...decodePorts(ports, `${path}.ports`, decodePort), ...decodePorts(protocols, `${path}.protocols`, decodeProtocol)],
  };
  const domain = rule.peers.findIndex(({ domainNames }) => domainNames !== undefined);
  if (domain >= 0 && action !== 'Allow') throw refuse(`${path}.${side}[${domain}].domainNames`, `domain names can be accepted, not met with ${manifest.action}`);
  const unnamed = rule.peers.findIndex((peer) => peer.networks !== undefined || peer.nodes !== undefined || peer.domainNames !== undefined);
  if (unnamed >= 0 && rule.ports.some((port) => 'namedPort' in port)) {
    throw refuse(`${path}.${side}[${unnamed}]`, 'networks, nodes and domain names have no named ports; make them a rule of their own');
  }
  return rule;
}

/** An empty list is not "any": the API refuses it. */
function decodePorts<T>(ports: readonly T[] | null | undefined, path: string, decode: (port: T, path: string) => AdminPort): AdminPort[] {
  if (ports === undefined || ports === null) return [];
  if (ports.length === 0) throw refuse(path, 'is empty; leave it out to match any port');
  return ports.map((port, index) => decode(port, `${path}[${index}]`));
}

function decodeSubject(manifest: AdminSubjectManifest, path: string): Draft<AdminSubject> {
  const subject: Draft<AdminSubject> = {};
  const namespaces = decodeOptionalSelector(manifest.namespaces, `${path}.namespaces`);
  if (namespaces !== undefined) subject.namespaces = namespaces;
  const { pods } = manifest;
  if (pods !== undefined && pods !== null) {
    const podSelector = decodeOptionalSelector(pods.podSelector, `${path}.pods.podSelector`);
    if (podSelector === undefined) throw refuse(`${path}.pods`, 'the field podSelector is missing; write {} for every pod');
    subject.pods = { namespaceSelector: decodeOptionalSelector(pods.namespaceSelector, `${path}.pods.namespaceSelector`) ?? EVERYTHING, podSelector };
  }
  return subject;
}

function decodePeer(manifest: AdminPeerManifest, path: string): AdminPeer {
  exactlyOne(manifest, ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'], path);
  const peer: Draft<AdminPeer> = decodeSubject(manifest, path);
  const nodes = decodeOptionalSelector(manifest.nodes, `${path}.nodes`);
  if (nodes !== undefined) peer.nodes = nodes;
  const { networks, domainNames } = manifest;
  if (networks !== undefined && networks !== null) {
    if (networks.length === 0) throw refuse(`${path}.networks`, 'is empty; give at least one prefix');
    peer.networks = networks.map((text, index) => decodePrefix(text, `${path}.networks[${index}]`));
  }
  if (domainNames !== undefined && domainNames !== null) {
    if (domainNames.length === 0) throw refuse(`${path}.domainNames`, 'is empty; give at least one domain name');
    peer.domainNames = domainNames.map((text, index) => {
      const name = text.toLowerCase().replace(/\.$/, '');
      refuseIf(domainNameProblem(name), `${path}.domainNames[${index}]`);
      return name;
    });
  }
  return peer;
}

function decodePort(manifest: AdminPortManifest, path: string): AdminPort {
  exactlyOne(manifest, ['portNumber', 'namedPort', 'portRange'], path);
  const { portNumber, namedPort, portRange } = manifest;
  if (portNumber !== undefined && portNumber !== null) return { protocol: PROTOCOL_NUMBERS[portNumber.protocol ?? 'TCP'], port: portNumber.port };
  if (portRange !== undefined && portRange !== null) return decodeRange(portRange, portRange.protocol ?? 'TCP', `${path}.portRange`);
  return decodeNamedPort(namedPort ?? '', `${path}.namedPort`);
}

function decodeProtocol(manifest: AdminProtocolManifest, path: string): AdminPort {
  exactlyOne(manifest, ['tcp', 'udp', 'sctp', 'destinationNamedPort'], path);
  const { tcp, udp, sctp, destinationNamedPort } = manifest;
  if (tcp !== undefined && tcp !== null) return decodeDestination(tcp, 'TCP', `${path}.tcp`);
  if (udp !== undefined && udp !== null) return decodeDestination(udp, 'UDP', `${path}.udp`);
  if (sctp !== undefined && sctp !== null) return decodeDestination(sctp, 'SCTP', `${path}.sctp`);
  return decodeNamedPort(destinationNamedPort ?? '', `${path}.destinationNamedPort`);
}

function decodeDestination({ destinationPort }: DestinationManifest, protocol: ProtocolName, path: string): AdminPort {
  if (destinationPort === undefined || destinationPort === null) throw refuse(path, 'the field destinationPort is missing');
  exactlyOne(destinationPort, ['number', 'range'], `${path}.destinationPort`);
  const { number, range } = destinationPort;
  if (range !== undefined && range !== null) return decodeRange(range, protocol, `${path}.destinationPort.range`);
  return { protocol: PROTOCOL_NUMBERS[protocol], ...(number === undefined || number === null ? {} : { port: number }) };
}

function decodeRange({ start, end }: PortRangeManifest, protocol: ProtocolName, path: string): PolicyPort {
  return { protocol: PROTOCOL_NUMBERS[protocol], port: start, endPort: checkEnd(start, end, path, 'end') };
}

function decodeNamedPort(name: string, path: string): AdminPort {
  refuseIf(portNameProblem(name), path);
  return { namedPort: name };
}
