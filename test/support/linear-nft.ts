/**
 * The same policy as plain linear nft rules: nothing of ours between the rules and the kernel. It checks the oracle, the
 * generator and the probe against the kernel's own idea of first match, before any agent is involved.
 */
import type { AddressMatch, AddressSet, Layer2Rule, PortRange, Rule } from '../../src/model/rule.js';
import { formatAddress, parseLiteral, type AddressKind } from '../oracle/addresses.js';
import type { ExpectedPolicy } from '../oracle/expectation.js';
import type { WorldWorkload } from './netns.js';

/** Text for `nft -f`: replaces what an earlier call loaded. */
export function linearNft(policy: ExpectedPolicy, workloads: readonly WorldWorkload[]): string {
  const lines = ['add table inet linear', 'delete table inet linear', 'add table netdev linear', 'delete table netdev linear', 'table netdev linear {'];
  for (const [index, workload] of workloads.entries()) {
    for (const [hook, direction] of [['ingress', 'out'], ['egress', 'in']] as const) {
      lines.push(`chain w${index}_${direction} { type filter hook ${hook} device "${workload.interface}" priority 0;`);
      for (const table of tablesOf(policy, workload.name)) {
        for (const rule of table.layer2Rules) lines.push(...layer2Lines(rule, direction, [...table.addressSets, ...policy.sharedSets]));
      }
      lines.push('}');
    }
  }
  lines.push('}', 'table inet linear {');
  for (const [index, workload] of workloads.entries()) {
    for (const direction of ['out', 'in'] as const) {
      const tables = tablesOf(policy, workload.name);
      lines.push(`chain w${index}_${direction} {`);
      if (tables.length === 0) lines.push(policy.failurePolicy === 'closed' ? 'drop' : 'return');
      for (const table of tables) {
        for (const rule of table.rules) lines.push(...ruleLines(rule, direction, [...table.addressSets, ...policy.sharedSets]));
      }
      lines.push('}');
    }
  }
  const jumps = (side: 'iifname' | 'oifname', direction: 'out' | 'in'): string[] => workloads.map((workload, index) => `${side} "${workload.interface}" jump w${index}_${direction}`);
  const base = (hook: string, body: readonly string[]): string[] => [`chain ${hook} { type filter hook ${hook} priority 0;`, 'ct state established,related accept', ...body, '}'];
  lines.push(
    ...base('forward', [...jumps('iifname', 'out'), ...jumps('oifname', 'in')]),
    ...base('input', jumps('iifname', 'out')),
    // The tracker does not relate the error for a connection that never came to be; it must reach the refused all the same.
    ...base('output', ['icmp type destination-unreachable accept', 'icmpv6 type destination-unreachable accept', ...jumps('oifname', 'in')]), '}');
  return `${lines.join('\n')}\n`;
}

function tablesOf(policy: ExpectedPolicy, name: string): ExpectedPolicy['tables'] {
  return policy.tables.filter((table) => table.appliedTo?.includes(name) ?? true).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** One line per family; an accepted rule returns, so that the other filter is asked too. */
function ruleLines(rule: Rule, direction: 'in' | 'out', sets: readonly AddressSet[]): string[] {
  if (rule.direction !== 'inout' && rule.direction !== direction) return [];
  const lines: string[] = [];
  for (const family of [4, 6] as const) {
    if (rule.family !== undefined && rule.family !== family) continue;
    if (rule.protocol === (family === 4 ? 58 : 1)) continue;
    const name = family === 4 ? 'ip' : 'ip6';
    const source = sideText(rule.source, family, sets, `${name} saddr`);
    const destination = sideText(rule.destination, family, sets, `${name} daddr`);
    if (source === undefined || destination === undefined) continue;
    const parts = [`meta nfproto ipv${family}`, source, destination];
    if (rule.protocol !== 'any') parts.push(`meta l4proto ${rule.protocol}`);
    parts.push(portText('sport', rule.sourcePorts), portText('dport', rule.ports));
    if (rule.icmp !== undefined) {
      const icmp = family === 4 ? 'icmp' : 'icmpv6';
      parts.push(`${icmp} type ${rule.icmp.type}`, rule.icmp.code === undefined ? '' : `${icmp} code ${rule.icmp.code}`);
    }
    const match = parts.filter((part) => part !== '').join(' ');
    if (rule.action === 'reject') lines.push(`${match} meta l4proto tcp reject with tcp reset`, `${match} meta l4proto != 6 reject with icmpx admin-prohibited`);
    else lines.push(`${match} ${rule.action === 'accept' ? 'return' : 'drop'}`);
  }
  return lines;
}

function layer2Lines(rule: Layer2Rule, direction: 'in' | 'out', sets: readonly AddressSet[]): string[] {
  if (rule.direction !== 'inout' && rule.direction !== direction) return [];
  const source = sideText(rule.source, 'mac', sets, 'ether saddr');
  const destination = sideText(rule.destination, 'mac', sets, 'ether daddr');
  if (source === undefined || destination === undefined) return [];
  const ethertype = rule.ethertype === 'any' ? '' : `meta protocol 0x${rule.ethertype.toString(16)}`;
  return [`${[ethertype, source, destination].filter((part) => part !== '').join(' ')} ${rule.action}`];
}

function portText(which: 'sport' | 'dport', ranges: readonly PortRange[]): string {
  if (ranges.length === 0 || ranges.some((range) => range.first === 0 && range.last === 65_535)) return '';
  return `th ${which} { ${ranges.map((range) => (range.first === range.last ? range.first : `${range.first}-${range.last}`)).join(', ')} }`;
}

/** '' = no condition; undefined = nothing can match. */
function sideText(side: AddressMatch, kind: AddressKind, sets: readonly AddressSet[], key: string): string | undefined {
  if (side.addressSets.length === 0 && side.addresses.length === 0) return '';
  const literals = [...side.addresses, ...side.addressSets.flatMap((name) => sets.find((set) => set.name === name)?.addresses ?? [])];
  const merged: { first: bigint; last: bigint }[] = [];
  for (const range of literals.map(parseLiteral).filter((one) => one.kind === kind).toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1n) previous.last = range.last > previous.last ? range.last : previous.last;
    else merged.push({ first: range.first, last: range.last });
  }
  const top = (1n << (kind === 4 ? 32n : kind === 6 ? 128n : 48n)) - 1n;
  const everything = merged[0]?.first === 0n && merged[0].last === top;
  if (side.not) {
    if (merged.length === 0) return '';
    if (everything) return undefined;
  } else {
    if (merged.length === 0) return undefined;
    if (everything) return '';
  }
  const text = merged.map(({ first, last }) => (first === last ? formatAddress(kind, first) : `${formatAddress(kind, first)}-${formatAddress(kind, last)}`));
  return `${key} ${side.not ? '!= ' : ''}{ ${text.join(', ')} }`;
}
