/**
 * The rules that the benchmarks are about, shaped like a data centre's: applications whose hosts are in the same three groups,
 * some groups that also hold a /24, and rules that admit one group to one port (70 %), a range (25 %) or any port (5 %) of a
 * protocol (80 % UDP), three of them for every source. The last rule rejects all else.
 */
import type { AddressMatch, AddressSet, Direction, Rule } from '../../src/model/rule.js';
import { Random } from './random.js';

export interface PolicyOptions {
  readonly rules: number;
  /** Group members in all; a host in three groups counts three times. */
  readonly addresses: number;
  readonly groups: number;
  /** Distinct combinations of groups that hosts have. */
  readonly applications: number;
  /**
   * 'in': rules admit a source group to the workload. 'peers': every second rule instead lets the workload reach a destination
   * group. 'both': every rule names a source and a destination group and stands for both directions.
   */
  readonly shape: 'in' | 'peers' | 'both';
}

export interface Policy {
  readonly sets: readonly AddressSet[];
  readonly rules: readonly Rule[];
  /** Host addresses by group, as numbers: what packets are made of. */
  readonly hosts: readonly (readonly number[])[];
}

export const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };
/** Belongs to the first application. */
export const FIRST_HOST = 0x0a00_0100; // 10.0.1.0
const PREFIXES = 0x0a60_0000; // 10.96.0.0/12: no host lives there

/** Policies of different `ruleSeed` have the same groups, and other rules; `offset` moves all hosts. */
export function makePolicy(options: PolicyOptions, ruleSeed = options.rules + 1, offset = 0): Policy {
  const random = new Random(options.groups);
  const hosts: number[][] = Array.from({ length: options.groups }, () => []);
  const wide: string[][] = Array.from({ length: options.groups }, () => []);
  const each = Math.min(3, options.groups);
  const applications = Array.from({ length: options.applications }, () => random.distinct(each, 0, options.groups - 1));
  for (let index = 0; index * each < options.addresses; index += 1) {
    for (const group of applications[index % applications.length] ?? []) hosts[group]?.push(FIRST_HOST + offset + index);
  }
  for (let group = 0; group < options.groups; group += 10) {
    for (let count = 0; count < 2; count += 1) wide[group]?.push(`${addressText(PREFIXES + random.int(0, 4095) * 256)}/24`);
  }
  const sets = hosts.map((members, group) => ({
    name: setName(group), addresses: [...members.map(addressText), ...new Set(wide[group])],
  }));
  const ruleRandom = new Random(ruleSeed);
  const rules = Array.from({ length: options.rules - 1 }, (_, index) => makeRule(index, options, ruleRandom));
  rules.push({ ...BASE, id: 1000 + options.rules, direction: 'inout', protocol: 'any', action: 'reject' });
  return { sets, rules, hosts };
}

export function setName(group: number): string {
  return `group-${group}`;
}

export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

const BASE = { protocol: 17, source: ANY, sourcePorts: [], destination: ANY, ports: [], action: 'accept', log: false, stateless: false } as const;

function makeRule(index: number, options: PolicyOptions, random: Random): Rule {
  const kind = random.int(1, 100);
  const first = random.int(1, 60_000);
  const ports = kind <= 70 ? [{ first, last: first }] : kind <= 95 ? [{ first, last: first + random.int(1, 2000) }] : [];
  const protocol = random.int(1, 100) <= 80 ? 17 : 6;
  const everyone = options.rules >= 100 && [3, 2, 1].some((part) => index === Math.floor(options.rules / part) - 2);
  const group = (number: number): AddressMatch => ({ not: false, addressSets: [setName(number % options.groups)], addresses: [] });
  const rule = { ...BASE, id: 1001 + index, protocol, ports };
  if (everyone) return { ...rule, direction: 'in', protocol: 17, ports: [{ first: 53, last: 53 }] };
  if (options.shape === 'both') return { ...rule, direction: 'inout', source: group(index), destination: group(random.int(0, options.groups - 1)) };
  const direction: Direction = options.shape === 'peers' && index % 2 === 1 ? 'out' : 'in';
  // Of 'peers' both directions go through all groups.
  const at = options.shape === 'peers' ? index >> 1 : index;
  return direction === 'in' ? { ...rule, direction, source: group(at) } : { ...rule, direction, destination: group(at) };
}
