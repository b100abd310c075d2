/** The same policy as an administrator would write it for nft: one rule after another, the same sets. */
import type { Rule } from '../../src/model/rule.js';
import type { Policy } from './policy.js';

/**
 * A whole file for `nft -f`: table `inet linear`, rules of both directions of one interface in the forward hook. Sets that hold
 * hosts only are hash sets, the quickest form, unless `intervalSets`: then all can take prefixes, as address sets can.
 */
export function linearRuleset(policy: Policy, interfaceName: string, intervalSets = false): string {
  const sets = policy.sets.map((set) => {
    const flags = intervalSets || set.addresses.some((address) => address.includes('/')) ? ' flags interval;' : '';
    const elements = set.addresses.length === 0 ? '' : ` elements = { ${set.addresses.join(', ')} }`;
    return `set ${nftName(set.name)} { type ipv4_addr;${flags}${elements} }`;
  });
  return `table inet linear {
${sets.join('\n')}
chain in {
${linearRules(policy.rules, 'in').join('\n')}
}
chain out {
${linearRules(policy.rules, 'out').join('\n')}
}
chain forward { type filter hook forward priority 0; ct state established,related accept; oifname "${interfaceName}" goto in; iifname "${interfaceName}" goto out; }
}
`;
}

/** Rules that apply in this direction, one line each. */
export function linearRules(rules: readonly Rule[], direction: 'in' | 'out'): string[] {
  return rules.filter((rule) => rule.direction === 'inout' || rule.direction === direction).map(ruleLine);
}

export function ruleLine(rule: Rule): string {
  const parts: string[] = [];
  const [source] = rule.source.addressSets;
  const [destination] = rule.destination.addressSets;
  if (source !== undefined) parts.push(`ip saddr @${nftName(source)}`);
  if (destination !== undefined) parts.push(`ip daddr @${nftName(destination)}`);
  const name = rule.protocol === 6 ? 'tcp' : 'udp';
  const [ports] = rule.ports;
  if (ports !== undefined) parts.push(`${name} dport ${ports.first === ports.last ? ports.first : `${ports.first}-${ports.last}`}`);
  else if (rule.protocol !== 'any') parts.push(`meta l4proto ${rule.protocol}`);
  parts.push(rule.action === 'reject' ? 'reject with icmpx admin-prohibited' : rule.action);
  return parts.join(' ');
}

export function nftName(name: string): string {
  return name.replaceAll('-', '_');
}
