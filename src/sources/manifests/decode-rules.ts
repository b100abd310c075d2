/** RuleTable and AddressSet manifests → objects, and back for tables that came as rules text. */
import type { AddressSetObject, AppliedTo, RuleTableObject } from '../../model/objects.js';
import type { AddressMatch, AddressSet, Layer2Rule, PortRange, Protocol, Rule } from '../../model/rule.js';
import type { AddressSetManifest, Layer2RuleManifest, RuleManifest, RuleTableManifest, SideManifest } from './own-manifests.js';
import { isMac } from '../../model/address.js';
import { setNameProblem, tableNameProblem, tagProblem } from '../../model/names.js';
import { nearest } from '../../model/nearest.js';
import { ethertypeFromText, protocolFromText, protocolNames } from '../../model/protocols.js';
import { quote } from '../../model/quote.js';
import { LIMITS } from '../../model/rule.js';
import { idProblem, normalizePorts, portRangeFromText, ruleProblem } from '../../model/rule-check.js';
import { decodeMembers } from './addresses.js';
import { refuse, refuseIf } from './checks.js';
import { decodeMeta, decodeWorkload } from './metadata.js';
import { joinPath } from './schema-errors.js';
import { decodeSelector } from './selectors.js';

export function decodeAddressSet(manifest: AddressSetManifest): AddressSetObject {
  return { kind: 'AddressSet', metadata: decodeMeta(manifest.metadata, setNameProblem), addresses: decodeMembers(manifest.spec.addresses, 'spec.addresses') };
}

export function decodeRuleTable(manifest: RuleTableManifest): RuleTableObject {
  const metadata = decodeMeta(manifest.metadata, tableNameProblem);
  const { spec } = manifest;
  const { rules = [], layer2Rules = [] } = spec;
  const appliedTo = decodeAppliedTo(spec.appliedTo);
  checkRuleCount(rules, 'spec.rules');
  checkRuleCount(layer2Rules, 'spec.layer2Rules');
  const table = {
    addressSets: decodeSets(spec.addressSets ?? []),
    rules: rules.map((rule, index) => decodeRule(rule, `spec.rules[${index}]`)),
    layer2Rules: layer2Rules.map((rule, index) => decodeLayer2Rule(rule, `spec.layer2Rules[${index}]`)),
  };
  checkIds(table.rules, 'spec.rules');
  checkIds(table.layer2Rules, 'spec.layer2Rules');
  return { kind: 'RuleTable', metadata, ...(appliedTo === undefined ? {} : { appliedTo }), ...table };
}

function decodeAppliedTo(appliedTo: RuleTableManifest['spec']['appliedTo']): AppliedTo | undefined {
  if (appliedTo === undefined) return undefined;
  const { workloads, selector } = appliedTo;
  if (workloads === undefined && selector === undefined) {
    throw refuse('spec.appliedTo', 'is empty; give workloads or a selector, or leave appliedTo out for every filter of the host');
  }
  return {
    workloads: (workloads ?? []).map((workload, index) => decodeWorkload(workload, `spec.appliedTo.workloads[${index}]`)),
    ...(selector === undefined ? {} : { selector: decodeSelector(selector, 'spec.appliedTo.selector', 'tags') }),
  };
}

function checkRuleCount(rules: readonly unknown[], path: string): void {
  if (rules.length > LIMITS.rulesPerTable) {
    throw refuse(path, `${rules.length} rules; the limit is ${LIMITS.rulesPerTable} (rulesPerTable)`, 'E_LIMIT');
  }
}

function checkIds(rules: Parameters<typeof idProblem>[0], path: string): void {
  const problem = idProblem(rules);
  if (problem !== undefined) {
    throw refuse(`${path}[${problem.second}].id`, `${problem.message} (${path}[${problem.first}] and ${path}[${problem.second}])`);
  }
}

function decodeSets(sets: readonly { readonly name: string; readonly addresses: readonly unknown[] }[]): AddressSet[] {
  const seen = new Map<string, number>();
  return sets.map(({ name, addresses }, index) => {
    const path = `spec.addressSets[${index}]`;
    refuseIf(setNameProblem(name), `${path}.name`);
    const earlier = seen.get(name);
    if (earlier !== undefined) throw refuse(`${path}.name`, `address set ${name} is already defined at spec.addressSets[${earlier}]`);
    seen.set(name, index);
    return { name, addresses: decodeMembers(addresses, `${path}.addresses`) };
  });
}

function decodeRule(manifest: RuleManifest, path: string): Rule {
  const { family, icmp } = manifest;
  const rule: Rule = {
    id: manifest.id,
    direction: manifest.direction ?? 'inout',
    ...(family === undefined ? {} : { family: family === 'inet' ? 4 : 6 }),
    protocol: decodeProtocol(manifest.protocol, `${path}.protocol`),
    source: decodeSide(manifest.source, 3, `${path}.source`),
    sourcePorts: decodePorts(manifest.sourcePorts, `${path}.sourcePorts`),
    destination: decodeSide(manifest.destination, 3, `${path}.destination`),
    ports: decodePorts(manifest.ports, `${path}.ports`),
    ...(icmp === undefined ? {} : { icmp: icmp.code === undefined ? { type: icmp.type } : { type: icmp.type, code: icmp.code } }),
    action: manifest.action,
    log: manifest.log ?? false,
    ...decodeTag(manifest.tag, path),
    stateless: manifest.stateless ?? false,
  };
  const problem = ruleProblem(rule);
  if (problem !== undefined) throw refuse(joinPath(path, problem.path), problem.message);
  return rule;
}

function decodeLayer2Rule(manifest: Layer2RuleManifest, path: string): Layer2Rule {
  return {
    id: manifest.id,
    direction: manifest.direction ?? 'inout',
    ethertype: decodeEthertype(manifest.ethertype, `${path}.ethertype`),
    source: decodeSide(manifest.source, 2, `${path}.source`),
    destination: decodeSide(manifest.destination, 2, `${path}.destination`),
    action: manifest.action,
    log: manifest.log ?? false,
    ...decodeTag(manifest.tag, path),
  };
}

export function decodeProtocol(value: string | number | undefined, path: string): Protocol {
  if (value === undefined) return 'any';
  const protocol = protocolFromText(String(value));
  if (protocol !== undefined) return protocol;
  const near = nearest(String(value), protocolNames());
  throw refuse(
    path,
    `unknown protocol ${quote(String(value))}${near === undefined ? '; use a name or a number from 0 to 255' : `; did you mean ${near}?`}`,
  );
}

function decodeEthertype(value: string | number | undefined, path: string): number | 'any' {
  if (value === undefined) return 'any';
  const ethertype = ethertypeFromText(String(value));
  if (ethertype === undefined) {
    throw refuse(path, `${quote(String(value))} is not an ethertype; use any, a name (ipv4, arp, ipv6) or 0x0600 to 0xffff`);
  }
  return ethertype;
}

/** `22`, `8000-8100`; sorted, disjoint. */
export function decodePorts(values: readonly (string | number)[] | undefined, path: string): PortRange[] {
  return normalizePorts((values ?? []).map((value, index) => {
    const range = portRangeFromText(String(value));
    if (range === undefined) {
      throw refuse(
        `${path}[${index}]`, `${quote(String(value))} is not a port or a range of ports; use 22 or 8000-8100, each from 0 to 65535`,
      );
    }
    return range;
  }));
}

function decodeSide(side: SideManifest | undefined, layer: 2 | 3, path: string): AddressMatch {
  const { not = false, addressSets = [] } = side ?? {};
  const addresses = decodeMembers(side?.addresses ?? [], `${path}.addresses`);
  for (const [index, name] of addressSets.entries()) refuseIf(setNameProblem(name, 'address set name'), `${path}.addressSets[${index}]`);
  const wrong = addresses.findIndex((address) => isMac(address) !== (layer === 2));
  if (wrong >= 0) {
    throw refuse(
      `${path}.addresses[${wrong}]`, layer === 2 ? 'a layer 2 rule matches MAC addresses only' : 'MAC addresses belong in layer2Rules',
    );
  }
  if (not && addresses.length + addressSets.length === 0) {
    throw refuse(`${path}.not`, 'there is nothing to negate; give addressSets or addresses');
  }
  return { not, addressSets, addresses };
}

export function decodeTag(tag: string | undefined, path: string): { readonly tag?: string } {
  if (tag === undefined || tag === '') return {};
  refuseIf(tagProblem(tag), `${path}.tag`);
  return { tag };
}
