/**
 * Rule tables and address sets as `vsipioctl getrules` and `getaddrsets` print them; grammar in docs/rules-format.md.
 * Whatever is printed here, parseRulesText reads back to the same table (without the policies that its rules came from).
 */
import type { RuleView, SideView } from './views.js';
import { isMac, sortMembers } from './address.js';
import { LAYER2_SUFFIX } from './names.js';
import { policyRuleName } from './policy-name.js';

export interface PrintOptions {
  /** Spaces before each line of a block. NSX for vSphere prints 2, NSX-T 0. Default 2. */
  readonly indent?: number;
  /** Printed as NSX-T does, `# generation number: 7`, when given. */
  readonly generation?: number;
  /** Printed as NSX-T does, `# realization time : 2026-01-02T03:04:05`, when given. */
  readonly realizedAt?: string;
}

/** `ruleset NAME {` ... `}` and a line feed. A layer 2 ruleset is listed as `NAME_L2`, whether `name` has the suffix or not. */
export function printRuleset(name: string, layer: 2 | 3, rules: readonly RuleView[], options: PrintOptions = {}): string {
  const indent = ' '.repeat(options.indent ?? 2);
  const listed = layer === 2 && !name.endsWith(LAYER2_SUFFIX) ? `${name}${LAYER2_SUFFIX}` : name;
  const lines = [`ruleset ${listed} {`];
  if (options.generation !== undefined) lines.push(`${indent}# generation number: ${options.generation}`);
  if (options.realizedAt !== undefined) lines.push(`${indent}# realization time : ${options.realizedAt}`);
  lines.push(`${indent}# Filter rules`);
  for (const rule of rules) lines.push(`${indent}${printRule(rule)}`);
  lines.push('}', '');
  return lines.join('\n');
}

/** One line, `rule ID at POSITION ... ;`, without a line feed; the policy it comes from, if any, is a comment at its end. */
export function printRule(rule: RuleView): string {
  const parts = [`rule ${rule.id} at ${rule.at} ${rule.direction}`];
  if (rule.ethertype === undefined) {
    if (rule.family !== undefined) parts.push(rule.family);
    parts.push(`protocol ${rule.protocol ?? 'any'}${printModifiers(rule)}`);
  } else {
    parts.push(`ethertype ${rule.ethertype}`);
  }
  parts.push(`from ${printSide(rule.source)}${printPorts(rule.sourcePorts)}`);
  parts.push(`to ${printSide(rule.destination)}${printPorts(rule.ports)}`);
  parts.push(rule.action);
  if (rule.log) parts.push('with log');
  if (rule.tag !== undefined) parts.push(`tag '${rule.tag}'`);
  return `${parts.join(' ')};${rule.policy === undefined ? '' : ` # ${policyRuleName(rule.policy)}`}`;
}

function printModifiers(rule: RuleView): string {
  const { icmp } = rule;
  const type = icmp === undefined ? undefined : icmp.code === undefined ? `icmptype ${icmp.type}` : `typecode ${icmp.type}:${icmp.code}`;
  if (rule.stateless === true) return type === undefined ? ' stateless' : ` with {stateless, ${type}}`;
  return type === undefined ? '' : ` ${type}`;
}

function printSide(side: SideView): string {
  const items = [
    ...(side.addressSets ?? []).map((name) => `addrset ${name}`),
    ...(side.addresses ?? []).map((address) => `${isMac(address) ? 'mac' : 'ip'} ${address}`),
  ];
  const [only] = items;
  if (only === undefined) return 'any';
  const text = items.length === 1 ? only : `{${items.join(', ')}}`;
  return side.not === true ? `not ${text}` : text;
}

function printPorts(ports: readonly string[] | undefined): string {
  const [only] = ports ?? [];
  if (ports === undefined || only === undefined) return '';
  return ports.length === 1 ? ` port ${only}` : ` port {${ports.join(', ')}}`;
}

/** `addrset NAME {`, one line a member (IPv4, IPv6, MAC; each in numeric order, no duplicates), `}` and a line feed. */
export function printAddressSet(name: string, addresses: readonly string[]): string {
  const lines = sortMembers(addresses).map((address) => `${isMac(address) ? 'mac' : 'ip'} ${address},`);
  return [`addrset ${name} {`, ...lines, '}', ''].join('\n');
}
