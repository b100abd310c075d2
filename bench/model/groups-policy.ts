/** Policies in the form that OVN's documentation and benchmarks have: one rule for each address set, one port each, the rest refused. */
import type { DesiredObject } from '../../src/model/objects.js';
import type { Rule } from '../../src/model/rule.js';
import { addressSet, ruleTables, workload } from './desired.js';
import { addressText, ANY } from './policy.js';

export interface GroupsPolicy {
  readonly rules: number;
  readonly addressesEach: number;
  readonly ports: number;
}

const FIRST_MEMBER = 0x0a00_0100; // 10.0.1.0
const FIRST_PORT = 1000;

/** Of the bridge, and of OVN's logical switch. */
export function portNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `w${index}`);
}

/** Members of a set; no two sets share one. `shift` moves all of them. */
export function members(set: number, count: number, shift = 0): string[] {
  return Array.from({ length: count }, (_, index) => addressText(FIRST_MEMBER + shift + set * count + index));
}

export function setOf(index: number): string {
  return `as_${index}`;
}

/** Workloads on ports w0, w1, ... and rules for all of them: set i may reach TCP port 1000 + i. */
export function groupsPolicy({ rules, addressesEach, ports }: GroupsPolicy, shift = 0): DesiredObject[] {
  return [
    ...workloads(ports),
    ...Array.from({ length: rules }, (_, index) => addressSet(setOf(index), members(index, addressesEach, shift))),
    ...ruleTables([...Array.from({ length: rules }, (_, index) => admit(index, setOf(index))), REFUSE], 'policy'),
  ];
}

/** One set that `rules` rules name, each with a port of its own. */
export function oneSetPolicy(rules: number, addresses: readonly string[], ports: number): DesiredObject[] {
  return [...workloads(ports), addressSet('big', addresses), ...ruleTables([...Array.from({ length: rules }, (_, index) => admit(index, 'big')), REFUSE], 'policy')];
}

function workloads(ports: number): DesiredObject[] {
  return portNames(ports).flatMap((name, index) => workload(`vm-${name}`, name, [`10.250.0.${index + 1}`]));
}

const BASE = { source: ANY, sourcePorts: [], destination: ANY, ports: [], log: false, stateless: false } as const;
const REFUSE: Rule = { ...BASE, id: 999_999, direction: 'in', protocol: 'any', action: 'drop' };

function admit(index: number, set: string): Rule {
  const port = FIRST_PORT + index;
  return { ...BASE, id: 1001 + index, direction: 'in', protocol: 6, source: { ...ANY, addressSets: [set] }, ports: [{ first: port, last: port }], action: 'accept' };
}

/** The same as arguments of ovn-nbctl: one transaction. Addresses as text need no quotes there. */
export function ovnSets(sets: readonly (readonly [name: string, addresses: readonly string[]])[]): string[] {
  return sets.flatMap(([name, addresses]) => ['--', 'create', 'Address_Set', `name=${name}`, `addresses=${addresses.join(',')}`]);
}

export function ovnAcls(sets: readonly string[]): string[] {
  return [
    ...sets.flatMap((set, index) => ['--', '--type=port-group', 'acl-add', 'pg', 'to-lport', '1001', `outport==@pg && ip4.src==$${set} && tcp.dst==${FIRST_PORT + index}`, 'allow-related']),
    '--', '--type=port-group', 'acl-add', 'pg', 'to-lport', '1000', 'outport==@pg && ip', 'drop',
  ];
}
