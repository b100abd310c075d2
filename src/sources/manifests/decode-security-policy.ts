/** SecurityPolicy manifests → objects. */
import type { SecurityEndpoint, SecurityPolicyObject, SecurityRule, SecurityService, SecurityTarget } from '../../model/policy-objects.js';
import type {
  SecurityEndpointManifest, SecurityPolicyManifest, SecurityRuleManifest, SecurityServiceManifest, SecurityTargetManifest,
} from './own-manifests.js';
import { isMac } from '../../model/address.js';
import { layer2SuffixProblem, nsxNameProblem, ruleNameProblem } from '../../model/names.js';
import { hasPorts, isIcmp, protocolToText } from '../../model/protocols.js';
import { decodeMembers } from './addresses.js';
import { NONE, checkPolicyRules, checkUnique, exactlyOne, refuse, refuseIf } from './checks.js';
import { decodePorts, decodeProtocol, decodeTag } from './decode-rules.js';
import { decodeMeta, decodeWorkload } from './metadata.js';

export function decodeSecurityPolicy(manifest: SecurityPolicyManifest): SecurityPolicyObject {
  const { category = 'Application', sequence = 0, disabled = false, appliedTo, rules = NONE } = manifest.spec;
  const metadata = decodeMeta(manifest.metadata, (name) => nsxNameProblem(name) ?? layer2SuffixProblem(name));
  checkPolicyRules(rules.length);
  const decoded = rules.map((rule, index) => decodeRule(rule, index));
  checkUnique(decoded.map(({ name }) => name), 'rule name', (index) => `spec.rules[${index}].name`);
  const numbered = decoded.flatMap(({ id }, index) => (id === undefined ? [] : [{ id: String(id), index }]));
  checkUnique(numbered.map(({ id }) => id), 'rule id', (place) => `spec.rules[${numbered[place]?.index ?? 0}].id`);
  return { kind: 'SecurityPolicy', metadata, category, sequence, disabled, appliedTo: decodeTargets(appliedTo, 'spec.appliedTo'), rules: decoded };
}

function decodeRule(manifest: SecurityRuleManifest, index: number): SecurityRule {
  const path = `spec.rules[${index}]`;
  const { name = `rule-${index + 1}`, id, sourcesExcluded = false, destinationsExcluded = false } = manifest;
  refuseIf(ruleNameProblem(name), `${path}.name`);
  const sources = decodeEndpoints(manifest.sources, `${path}.sources`);
  const destinations = decodeEndpoints(manifest.destinations, `${path}.destinations`);
  if (sourcesExcluded && sources.length === 0) throw refuse(`${path}.sourcesExcluded`, 'there is nothing to exclude; give sources');
  if (destinationsExcluded && destinations.length === 0) throw refuse(`${path}.destinationsExcluded`, 'there is nothing to exclude; give destinations');
  return {
    name,
    ...(id === undefined ? {} : { id }),
    sources,
    sourcesExcluded,
    destinations,
    destinationsExcluded,
    services: decodeServices(manifest.services, `${path}.services`),
    action: manifest.action ?? 'Allow',
    direction: manifest.direction ?? 'InOut',
    log: manifest.logged ?? false,
    ...decodeTag(manifest.tag, path),
    disabled: manifest.disabled ?? false,
    appliedTo: decodeTargets(manifest.appliedTo, `${path}.appliedTo`),
  };
}

function decodeEndpoints(endpoints: readonly SecurityEndpointManifest[] | undefined, path: string): readonly SecurityEndpoint[] {
  return (endpoints ?? NONE).map((endpoint, index) => {
    const place = `${path}[${index}]`;
    exactlyOne(endpoint, ['group', 'addresses'], place);
    const { group, addresses } = endpoint;
    if (group !== undefined) return { group: decodeGroupName(group, `${place}.group`) };
    if (addresses === undefined || addresses.length === 0) throw refuse(`${place}.addresses`, 'is empty; leave the whole list out to match any address');
    const members = decodeMembers(addresses, `${place}.addresses`);
    const mac = members.findIndex((member) => isMac(member));
    if (mac >= 0) throw refuse(`${place}.addresses[${mac}]`, 'MAC addresses cannot be matched by a SecurityPolicy; use layer2Rules of a RuleTable');
    return { addresses: members };
  });
}

export function decodeGroupName(name: string, path: string): string {
  refuseIf(nsxNameProblem(name, 'group name'), path);
  return name;
}

function decodeTargets(targets: readonly SecurityTargetManifest[] | undefined, path: string): readonly SecurityTarget[] {
  return (targets ?? NONE).map((target, index) => {
    const place = `${path}[${index}]`;
    exactlyOne(target, ['group', 'workload'], place);
    return {
      ...(target.group === undefined ? {} : { group: decodeGroupName(target.group, `${place}.group`) }),
      ...(target.workload === undefined ? {} : { workload: decodeWorkload(target.workload, `${place}.workload`) }),
    };
  });
}

/** One service that is `any` makes the rule match any. */
function decodeServices(services: readonly SecurityServiceManifest[] | undefined, path: string): readonly SecurityService[] {
  return (services ?? NONE).map((service, index) => decodeService(service, `${path}[${index}]`));
}

function decodeService(manifest: SecurityServiceManifest, path: string): SecurityService {
  const { icmpType, icmpCode } = manifest;
  const protocol = decodeProtocol(manifest.protocol, `${path}.protocol`);
  const ports = decodePorts(manifest.ports, `${path}.ports`);
  const sourcePorts = decodePorts(manifest.sourcePorts, `${path}.sourcePorts`);
  const named = manifest.protocol === undefined ? 'a service without a protocol' : `protocol ${protocolToText(protocol)}`;
  if (!hasPorts(protocol) && ports.length + sourcePorts.length > 0) throw refuse(`${path}.${ports.length > 0 ? 'ports' : 'sourcePorts'}`, `${named} has no ports`);
  if (!isIcmp(protocol) && icmpType !== undefined) throw refuse(`${path}.icmpType`, `${named} has no ICMP type`);
  if (icmpType === undefined && icmpCode !== undefined) throw refuse(`${path}.icmpCode`, 'icmpCode needs an icmpType');
  return {
    ...(protocol === 'any' ? {} : { protocol }),
    ports,
    sourcePorts,
    ...(icmpType === undefined ? {} : { icmp: icmpCode === undefined ? { type: icmpType } : { type: icmpType, code: icmpCode } }),
  };
}
