/** One rule of an Antrea policy. */
import type { AntreaProtocol, AntreaRule, NamespacedName } from '../../model/policy-objects.js';
import type { AntreaProtocolManifest, AntreaRuleManifest, PeerServiceManifest } from './antrea-manifests.js';
import { labelValueProblem } from '../../model/names.js';
import { parsePrefix } from '../../model/prefix.js';
import { decodeHost } from './addresses.js';
import { NONE, exactlyOne, refuse, type Draft } from './checks.js';
import { decodePeers, decodeTargets, type PolicyScope } from './decode-antrea-peers.js';
import { decodeNamespacedName } from './metadata.js';
import { decodePolicyPort } from './ports.js';

/** Membership query; reports of versions 1, 2 and 3 (RFC 3376 section 4). */
const IGMP_TYPES = { ingress: [0x11], egress: [0x12, 0x16, 0x22] } as const;

/** The name is empty where none is written. */
export function decodeAntreaRule(manifest: AntreaRuleManifest, path: string, direction: 'ingress' | 'egress', scope: PolicyScope): AntreaRule {
  const { logLabel } = manifest;
  const [side, otherSide] = direction === 'ingress' ? (['from', 'to'] as const) : (['to', 'from'] as const);
  if (!isEmpty(manifest[otherSide])) throw refuse(`${path}.${otherSide}`, `an ${direction} rule has ${side}, not ${otherSide}`);
  if (!isEmpty(manifest.l7Protocols)) throw refuse(`${path}.l7Protocols`, 'rules of layer 7 are not supported by this version');
  const rule: Draft<AntreaRule> = {
    name: manifest.name ?? '',
    action: manifest.action,
    peers: decodePeers(manifest[side], `${path}.${side}`, direction, scope),
    ports: (manifest.ports ?? NONE).map((port, index) => decodePolicyPort(port, `${path}.ports[${index}]`)),
    protocols: (manifest.protocols ?? NONE).map((protocol, index) => decodeProtocol(protocol, `${path}.protocols[${index}]`, direction)),
    toServices: decodeToServices(manifest, path, direction, scope),
    appliedTo: decodeTargets(manifest.appliedTo, `${path}.appliedTo`, scope),
    log: manifest.enableLogging ?? false,
  };
  if (logLabel !== undefined && logLabel !== null && logLabel !== '') {
    if (labelValueProblem(logLabel) !== undefined) throw refuse(`${path}.logLabel`, 'use letters, digits and - _ . (at most 63, beginning and ending with a letter or digit)');
    rule.logLabel = logLabel;
  }
  if (rule.protocols.some((protocol) => 'igmp' in protocol)) checkIgmp(rule, path);
  checkMulticast(rule, path);
  return rule;
}

function isEmpty(list: readonly unknown[] | null | undefined): boolean {
  return list === undefined || list === null || list.length === 0;
}

function decodeProtocol(manifest: AntreaProtocolManifest, path: string, direction: 'ingress' | 'egress'): AntreaProtocol {
  exactlyOne(manifest, ['icmp', 'igmp'], path);
  const { icmp, igmp } = manifest;
  if (icmp !== undefined && icmp !== null) {
    const { icmpType: type, icmpCode: code } = icmp;
    if (type === undefined || type === null) {
      if (code !== undefined && code !== null) throw refuse(`${path}.icmp.icmpCode`, 'icmpCode needs an icmpType');
      return { icmp: {} };
    }
    return { icmp: code === undefined || code === null ? { type } : { type, code } };
  }
  return { igmp: decodeIgmp(igmp ?? {}, `${path}.igmp`, direction) };
}

type Igmp = Extract<AntreaProtocol, { igmp: unknown }>['igmp'];

function decodeIgmp({ igmpType, groupAddress }: NonNullable<AntreaProtocolManifest['igmp']>, path: string, direction: 'ingress' | 'egress'): Igmp {
  const igmp: Draft<Igmp> = {};
  if (igmpType !== undefined && igmpType !== null) {
    const types: readonly number[] = IGMP_TYPES[direction];
    if (!types.includes(igmpType)) throw refuse(`${path}.igmpType`, `${igmpType} is not an IGMP message of ${direction} rules; use ${types.join(', ')}`);
    igmp.type = igmpType;
  }
  if (groupAddress !== undefined && groupAddress !== null && groupAddress !== '') {
    const address = decodeHost(groupAddress, `${path}.groupAddress`);
    if (!isMulticast(address)) throw refuse(`${path}.groupAddress`, `${address} is not a multicast address`);
    igmp.groupAddress = address;
  }
  return igmp;
}

function checkIgmp(rule: AntreaRule, path: string): void {
  const others = { [`peers (from or to)`]: rule.peers, ports: rule.ports, toServices: rule.toServices };
  const other = Object.entries(others).find(([, entries]) => entries.length > 0)?.[0] ?? (rule.protocols.some((protocol) => 'icmp' in protocol) ? 'icmp' : undefined);
  if (other !== undefined) throw refuse(`${path}.protocols`, `igmp cannot be combined with ${other}; make them two rules`);
  refuseVerdict(rule, path, 'igmp');
}

function refuseVerdict(rule: AntreaRule, path: string, what: string): void {
  if (rule.action === 'Pass' || rule.action === 'Reject') throw refuse(`${path}.action`, `${what} can be allowed or dropped, not ${rule.action}`);
}

/** Multicast has peers of its own: no selectors, no unicast prefixes beside it. */
function checkMulticast(rule: AntreaRule, path: string): void {
  const multicast = rule.peers.filter(({ ipBlock }) => ipBlock !== undefined && isMulticast(ipBlock.cidr)).length;
  if (multicast === 0) return;
  const unicast = rule.peers.some(({ ipBlock }) => ipBlock !== undefined && !isMulticast(ipBlock.cidr));
  if (unicast) throw refuse(path, 'multicast and unicast prefixes cannot be peers of one rule');
  refuseVerdict(rule, path, 'multicast');
}

/** 224.0.0.0/4 and ff00::/8. */
function isMulticast(text: string): boolean {
  const { family, first } = parsePrefix(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`);
  return family === 4 ? first[0] >= 0xe000_0000 && first[0] <= 0xefff_ffff : first[0] >>> 24 === 0xff;
}

function decodeToServices(manifest: AntreaRuleManifest, path: string, direction: 'ingress' | 'egress', scope: PolicyScope): readonly NamespacedName[] {
  const { toServices } = manifest;
  if (toServices === undefined || toServices === null) return NONE;
  if (direction === 'ingress') throw refuse(`${path}.toServices`, 'only egress rules can name Services');
  if (toServices.length === 0) throw refuse(`${path}.toServices`, 'is empty; leave it out to match any destination');
  for (const field of ['to', 'ports', 'protocols'] as const) {
    if (!isEmpty(manifest[field])) throw refuse(`${path}.toServices`, `cannot be combined with ${field}; make them two rules`);
  }
  return toServices.map((service, index) => decodePeerService(service, `${path}.toServices[${index}]`, scope));
}

function decodePeerService({ name, namespace, scope: reach }: PeerServiceManifest, path: string, scope: PolicyScope): NamespacedName {
  if (reach === 'ClusterSet') throw refuse(`${path}.scope`, 'Services of other clusters (ClusterSet) are not supported by this version');
  const place = namespace === undefined || namespace === null || namespace === '' ? scope.namespace : namespace;
  if (place === undefined) throw refuse(path, 'the field namespace is missing');
  return decodeNamespacedName({ namespace: place, name }, path);
}
