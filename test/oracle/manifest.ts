/** Generated tables as manifests (dfw.dev/v1), and as lines for failure messages. */
import type { AddressMatch, AddressSet, Layer2Rule, PortRange, Rule } from '../../src/model/rule.js';
import type { GeneratedTable } from './generate.js';

function portText(range: PortRange): string {
  return range.first === range.last ? String(range.first) : `${range.first}-${range.last}`;
}

function sideDocument(side: AddressMatch): Record<string, unknown> | undefined {
  if (side.addressSets.length === 0 && side.addresses.length === 0) return undefined;
  return {
    ...(side.not ? { not: true } : {}),
    ...(side.addressSets.length > 0 ? { addressSets: side.addressSets } : {}),
    ...(side.addresses.length > 0 ? { addresses: side.addresses } : {}),
  };
}

function ruleDocument(rule: Rule): Record<string, unknown> {
  const source = sideDocument(rule.source);
  const destination = sideDocument(rule.destination);
  return {
    id: rule.id,
    direction: rule.direction,
    ...(rule.family === undefined ? {} : { family: rule.family === 4 ? 'inet' : 'inet6' }),
    protocol: rule.protocol === 'any' ? 'any' : protocolName(rule.protocol),
    ...(source === undefined ? {} : { source }),
    ...(rule.sourcePorts.length === 0 ? {} : { sourcePorts: rule.sourcePorts.map(portText) }),
    ...(destination === undefined ? {} : { destination }),
    ...(rule.ports.length === 0 ? {} : { ports: rule.ports.map(portText) }),
    ...(rule.icmp === undefined ? {} : { icmp: rule.icmp }),
    action: rule.action,
    ...(rule.log ? { log: true } : {}),
    ...(rule.stateless ? { stateless: true } : {}),
    ...(rule.tag === undefined ? {} : { tag: rule.tag }),
  };
}

function layer2Document(rule: Layer2Rule): Record<string, unknown> {
  const source = sideDocument(rule.source);
  const destination = sideDocument(rule.destination);
  return {
    id: rule.id,
    direction: rule.direction,
    ethertype: rule.ethertype === 'any' ? 'any' : `0x${rule.ethertype.toString(16).padStart(4, '0')}`,
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
    action: rule.action,
    ...(rule.log ? { log: true } : {}),
  };
}

export function protocolName(protocol: number): string {
  const names: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp', 132: 'sctp' };
  return names[protocol] ?? String(protocol);
}

export function tableDocument(table: GeneratedTable): Record<string, unknown> {
  return {
    apiVersion: 'dfw.dev/v1',
    kind: 'RuleTable',
    metadata: { name: table.name },
    spec: {
      ...(table.appliedTo === undefined ? {} : { appliedTo: { workloads: table.appliedTo.map((name) => ({ kind: 'VirtualMachine', name })) } }),
      ...tableContent(table),
    },
  };
}

/** The spec without its appliedTo. */
export function tableContent(table: Pick<GeneratedTable, 'addressSets' | 'rules' | 'layer2Rules'>): Record<string, unknown> {
  return { addressSets: table.addressSets, rules: table.rules.map(ruleDocument), layer2Rules: table.layer2Rules.map(layer2Document) };
}

export function addressSetDocument(set: AddressSet): Record<string, unknown> {
  return { apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name: set.name }, spec: { addresses: set.addresses } };
}

/** Rules as people read them; for failure messages only. */
export function describeTable(table: GeneratedTable): string {
  const lines = [`table ${table.name} applied to ${table.appliedTo?.join(' ') ?? 'every filter'}`];
  for (const set of table.addressSets) lines.push(`  addrset ${set.name} { ${set.addresses.join(', ')} }`);
  for (const rule of table.layer2Rules) lines.push(`  L2 ${JSON.stringify(layer2Document(rule))}`);
  for (const rule of table.rules) lines.push(`  ${describeRule(rule)}`);
  return lines.join('\n');
}

export function describeRule(rule: Rule): string {
  const side = (match: AddressMatch): string => {
    if (match.addressSets.length === 0 && match.addresses.length === 0) return 'any';
    return `${match.not ? 'not ' : ''}${[...match.addressSets.map((name) => `addrset ${name}`), ...match.addresses].join(' | ')}`;
  };
  const ports = (ranges: readonly PortRange[]): string => (ranges.length === 0 ? '' : ` port {${ranges.map(portText).join(', ')}}`);
  const family = rule.family === undefined ? '' : rule.family === 4 ? ' inet' : ' inet6';
  const icmp = rule.icmp === undefined ? '' : ` icmptype ${rule.icmp.type}${rule.icmp.code === undefined ? '' : `:${rule.icmp.code}`}`;
  const protocol = rule.protocol === 'any' ? 'any' : protocolName(rule.protocol);
  return `rule ${rule.id} ${rule.direction}${family} protocol ${protocol}${icmp}${rule.stateless ? ' stateless' : ''} from ${side(rule.source)}${ports(rule.sourcePorts)} to ${side(rule.destination)}${ports(rule.ports)} ${rule.action}${rule.log ? ' with log' : ''};`;
}
