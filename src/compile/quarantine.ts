/**
 * What cuts a workload off: a rule table before all others of its filters (docs/order.md). It only refuses or hands over, so it opens
 * nothing: who may still talk is judged by everything that comes after, as if there were no quarantine.
 */
import type { AddressMatch, PortRange, Rule } from '../model/rule.js';
import type { EffectiveTable } from './effective.js';

/** With whom a workload in quarantine may still talk. Canonical hosts and prefixes. */
export interface QuarantineAllowance {
  readonly addresses: readonly string[];
  /** IANA numbers; empty = any. */
  readonly protocols: readonly number[];
  /** Destination ports of connections either way; empty = any. */
  readonly ports: readonly PortRange[];
}

const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };
const IPV6_ICMP = 58;
/** RFC 4861: without them an IPv6 address that is allowed could not be reached. */
const NEIGHBOUR_DISCOVERY = [133, 134, 135, 136, 137];
const TAG = 'quarantine';

/** `number`: of a rule, by what it does; the same for the same. */
export function quarantineTable(name: string, allowances: readonly QuarantineAllowance[], number: (rule: string) => number): EffectiveTable {
  const policy = (rule: string): NonNullable<Rule['policy']> => ({ kind: 'Quarantine', name, rule, group: 'dfw.dev' });
  const base = { source: ANY, sourcePorts: [], destination: ANY, ports: [], stateless: false } as const;
  const pass = (rule: string): Pick<Rule, 'id' | 'action' | 'log' | 'policy'> => ({ id: number(rule), action: 'pass', log: false, policy: policy(rule) });
  const rules: Rule[] = allowances.length === 0 ? [] : NEIGHBOUR_DISCOVERY.map((type): Rule => ({
    ...base, ...pass('neighbour-discovery'), direction: 'inout', protocol: IPV6_ICMP, icmp: { type },
  }));
  for (const [index, { addresses, protocols, ports }] of allowances.entries()) {
    const peer: AddressMatch = { not: false, addressSets: [], addresses };
    for (const [direction, sides] of [['in', { source: peer }], ['out', { destination: peer }]] as const) {
      for (const protocol of protocols.length === 0 ? ['any' as const] : protocols) {
        rules.push({ ...base, ...pass(`allow-${index + 1}-${direction}`), ...sides, direction, protocol, ports });
      }
    }
  }
  rules.push({ ...base, id: number('drop'), action: 'drop', log: true, tag: TAG, policy: policy('drop'), direction: 'inout', protocol: 'any' });
  return { table: { kind: 'RuleTable', metadata: { name: `Quarantine:${name}`, labels: {} }, addressSets: [], rules, layer2Rules: [] }, section: 'quarantine', sets: new Map() };
}
