import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { v4ToText } from '../../../src/model/address.js';
import { ruleNameProblem } from '../../../src/model/names.js';
import { POLICY_KINDS } from '../../../src/model/policy-objects.js';
import { LIMITS, type AddressMatch, type Direction, type IcmpMatch, type Layer2Rule, type PolicyReference, type PortRange, type Protocol, type Rule } from '../../../src/model/rule.js';
import { normalizePorts } from '../../../src/model/rule-check.js';
import { layer2RuleToView, ruleToView } from '../../../src/model/rule-view.js';
import { parseRulesText, printAddressSet, printRuleset, type RulesTextTable } from '../../../src/model/rules-text.js';

const SEED_RULES = `ruleset domain-c25 {
  # Filter rules
  rule 1006 at 1 inout protocol tcp from addrset ip-vm-33 to addrset ip-vm-36 port 22 accept with log;
  rule 1005 at 2 inout protocol any from any to addrset ip-ipset-2 accept;
  rule 1004 at 3 inout protocol ipv6-icmp icmptype 135 from any to any accept;
  rule 1004 at 4 inout protocol ipv6-icmp icmptype 136 from any to any accept;
  rule 1003 at 5 inout protocol udp from any to any port 67 accept;
  rule 1003 at 6 inout protocol udp from any to any port 68 accept;
  rule 1002 at 7 inout protocol any from any to any reject with log;
}
`;
const SEED_L2 = `ruleset domain-c25_L2 {
  # Filter rules
  rule 1001 at 1 inout ethertype any from any to any accept;
}
`;
const SEED_SETS = `addrset ip-ipset-2 {
ip 192.168.110.10,
}
addrset ip-vm-33 {
ip 172.16.10.12,
}
addrset ip-vm-36 {
ip 172.16.10.11,
}
`;

function print(table: Pick<RulesTextTable, 'name' | 'rules' | 'layer2Rules'>, indent = 2): string {
  const layer3 = printRuleset(table.name, 3, table.rules.map((rule, index) => ruleToView(rule, index + 1)), { indent });
  if (table.layer2Rules.length === 0) return layer3;
  return `${layer3}\n${printRuleset(table.name, 2, table.layer2Rules.map((rule, index) => layer2RuleToView(rule, index + 1)), { indent })}`;
}

function only(text: string): RulesTextTable {
  const { tables, problems } = parseRulesText(text);
  expect(problems).toEqual([]);
  expect(tables).toHaveLength(1);
  const [table] = tables;
  if (table === undefined) throw new Error('no table');
  return table;
}

function oneRule(line: string, name = 't'): Rule | Layer2Rule {
  const table = only(`ruleset ${name} {\n${line}\n}\n`);
  const rule = table.rules[0] ?? table.layer2Rules[0];
  if (rule === undefined) throw new Error('no rule');
  return rule;
}

function problemsOf(line: string, name = 't'): readonly { line: number; message: string }[] {
  return parseRulesText(`ruleset ${name} {\n${line}\n}\n`).problems;
}

describe('the listing of seed 004', () => {
  it('loads, pasted with its prompts, as one table with its sets', () => {
    const pasted = `# vsipioctl getrules -f nic-145244-eth0-vmware-sfw.2\n${SEED_RULES}\n${SEED_L2}\n# vsipioctl getaddrsets -f nic-145244-eth0-vmware-sfw.2\n${SEED_SETS}`;
    const table = only(pasted);
    expect(table.name).toBe('domain-c25');
    expect(table.rules.map((rule) => rule.id)).toEqual([1006, 1005, 1004, 1004, 1003, 1003, 1002]);
    expect(table.rules[0]).toEqual({
      id: 1006, direction: 'inout', protocol: 6, source: { not: false, addressSets: ['ip-vm-33'], addresses: [] }, sourcePorts: [],
      destination: { not: false, addressSets: ['ip-vm-36'], addresses: [] }, ports: [{ first: 22, last: 22 }], action: 'accept', log: true, stateless: false,
    });
    expect(table.rules[2]).toMatchObject({ protocol: 58, icmp: { type: 135 } });
    expect(table.layer2Rules).toEqual([{
      id: 1001, direction: 'inout', ethertype: 'any', action: 'accept', log: false,
      source: { not: false, addressSets: [], addresses: [] }, destination: { not: false, addressSets: [], addresses: [] },
    }]);
    expect(table.addressSets).toEqual([
      { name: 'ip-ipset-2', addresses: ['192.168.110.10'] }, { name: 'ip-vm-33', addresses: ['172.16.10.12'] }, { name: 'ip-vm-36', addresses: ['172.16.10.11'] },
    ]);
  });

  it('is printed back byte for byte', () => {
    const table = only(`${SEED_RULES}\n${SEED_L2}\n${SEED_SETS}`);
    expect(print(table)).toBe(`${SEED_RULES}\n${SEED_L2}`);
    expect(table.addressSets.map((set) => printAddressSet(set.name, set.addresses)).join('')).toBe(SEED_SETS);
  });

  it('loads with Windows line ends and no final line feed', () => {
    expect(only(SEED_RULES.replaceAll('\n', '\r\n').trimEnd()).rules).toHaveLength(7);
  });
});

describe('listings of later versions', () => {
  it('reads the NSX-T head, companion lines and application gateways, and reports what has no effect', () => {
    const text = `ruleset mainrs {
# generation number: 7
# realization time : 2020-12-16T23:41:30
# PRE_FILTER rules
rule 5134 at 1 inout protocol any from addrset d8e7adac-af3b to addrset d8e7adac-af3b accept with log tag 'ipv6-app-allow';
rule 5132 at 2 inout inet protocol icmp from any to addrset d8e7adac-af3b accept with log tag 'icmp-test';
rule 5131 at 3 inout inet protocol tcp strict from any to any port 22 accept with log;
rule 1014 at 4 inout protocol udp from any to any port {42, 53, 67, 88, 49152-65535} accept;
rule 1014 at 5 inout protocol tcp from any to any port 135 accept as dcerpc;
# internal # rule 1014 at 6 inout protocol tcp from any to any port 135 accept;
rule 2693 at 7 inout protocol tcp from addrset ip-ipset-63 to not addrset ip-ipset-5 port 21 accept with log as ftp;
rule 7 at 8 out protocol 240 stateless from ip 10.0.0.0/8 to not ip 10.1.0.0/16 drop;
}

ruleset mainrs_L2 {
rule 2858 at 1 inout ethertype any stateless from any to any accept;
}`;
    const { tables: [table], warnings, problems } = parseRulesText(text);
    expect(problems).toEqual([]);
    expect(table?.rules.map((rule) => rule.id)).toEqual([5134, 5132, 5131, 1014, 1014, 2693, 7]);
    expect(table?.rules[0]?.tag).toBe('ipv6-app-allow');
    expect(table?.rules[1]).toMatchObject({ family: 4, protocol: 1 });
    expect(table?.rules[3]?.ports.at(-1)).toEqual({ first: 49152, last: 65535 });
    expect(table?.rules[6]).toMatchObject({ stateless: true, protocol: 240, source: { addresses: ['10.0.0.0/8'] }, destination: { not: true, addresses: ['10.1.0.0/16'] } });
    expect(warnings.map((note) => note.line)).toEqual([7, 9, 11]);
  });

  it.each([
    ['rule 5 inout protocol tcp from any port 5 to any port 6 accept;', { sourcePorts: [{ first: 5, last: 5 }], ports: [{ first: 6, last: 6 }] }],
    ['rule 5 at 1 in protocol icmp typecode 3:1 from any to any accept;', { direction: 'in', icmp: { type: 3, code: 1 } }],
    ['rule 5 at 1 in protocol icmp with {stateless, typecode 3:1} from any to any accept;', { stateless: true, icmp: { type: 3, code: 1 } }],
    ['rule 5 at 1 in protocol icmp stateless from any to any accept;', { stateless: true }],
    ['rule 5 at 1 inout inet6 protocol ipv6-crypt from any to any drop;', { family: 6, protocol: 50 }],
    ["rule 5 at 1 inout protocol any from any to any drop with log tag 'a, {b}; c';", { log: true, tag: 'a, {b}; c' }],
    ["rule 5 at 1 inout protocol any from any to any drop tag '';", { log: false }],
    ['rule 5 at 1 inout protocol tcp from {addrset a, ip 10.0.0.1, ip fd00::/8} to any accept;', { source: { not: false, addressSets: ['a'], addresses: ['10.0.0.1', 'fd00::/8'] } }],
    ['rule 5 at 1 inout protocol tcp from any to any port {80, 22-30, 25-40, 80} accept;', { ports: [{ first: 22, last: 40 }, { first: 80, last: 80 }] }],
    ['rule 5 at 1 inout protocol tcp from any to any port {23, 22} accept;', { ports: [{ first: 22, last: 22 }, { first: 23, last: 23 }] }],
  ])('reads %s', (line, expected) => {
    expect(oneRule(line)).toMatchObject(expected);
  });

  it.each([
    ['rule 5 at 1 inout ethertype arp from any to any drop;', { ethertype: 0x0806 }],
    ['rule 5 at 1 in ethertype 0x88cc from not mac 00-50-56-AA-00-01 to addrset mac-securitygroup-13 drop with log;',
      { ethertype: 0x88cc, log: true, source: { not: true, addresses: ['00:50:56:aa:00:01'] }, destination: { addressSets: ['mac-securitygroup-13'] } }],
  ])('reads %s in layer 2', (line, expected) => {
    expect(oneRule(line, 't_L2')).toMatchObject(expected);
  });

  it('reads sets with ranges, MAC addresses, no final comma, a doubled closing brace, and empty ones', () => {
    const { addressSets, problems } = parseRulesText('addrset a {\n ip 10.0.0.1-10.0.0.9,\nip FD00::1\n}\n}\naddrset b {\n}\naddrset c { }\naddrset d {\nmac 00:50:56:00:00:01,\n}\n');
    expect(problems).toEqual([]);
    expect(addressSets).toEqual([
      { name: 'a', addresses: ['10.0.0.1-10.0.0.9', 'fd00::1'] }, { name: 'b', addresses: [] }, { name: 'c', addresses: [] },
      { name: 'd', addresses: ['00:50:56:00:00:01'] },
    ]);
  });

  it('gives each table only the sets it names, and takes a set twice when both are equal', () => {
    const text = `${SEED_SETS}${SEED_SETS}ruleset x {\nrule 1 at 1 in protocol any from addrset ip-vm-33 to any drop;\n}\nruleset y {\n}\n`;
    const { tables, problems } = parseRulesText(text);
    expect(problems).toEqual([]);
    expect(tables.map((table) => table.addressSets.map((set) => set.name))).toEqual([['ip-vm-33'], []]);
  });

  it('warns about positions out of order and keeps the order of the lines', () => {
    const { tables, warnings } = parseRulesText('ruleset x {\nrule 1 at 2 in protocol any from any to any drop;\nrule 2 at 1 in protocol any from any to any accept;\n}\n');
    expect(tables[0]?.rules.map((rule) => rule.id)).toEqual([1, 2]);
    expect(warnings).toEqual([{ line: 3, message: 'position 1 does not follow 2; the order of the lines counts' }]);
  });
});

describe('bad text', () => {
  it.each([
    ['rule 5 at 1 inout protocol tcp from any to any port 70000 accept;', '"70000" is not a port'],
    ['rule 5 at 1 inout protocol tcp from any to any port 9-5 accept;', '"9-5" is not a port'],
    ['rule 5 at 1 inout protocol tcp from any to any port {} accept;', 'expected a port, found "}"'],
    ['rule 5 at 1 inout protocol gre from any to any port 5 accept;', 'protocol gre has no ports'],
    ['rule 5 at 1 inout protocol any from any port 5 to any accept;', 'protocol any has no ports'],
    ['rule 5 at 1 inout protocol tcp icmptype 8 from any to any accept;', 'protocol tcp has no ICMP type'],
    ['rule 5 at 1 inout inet6 protocol icmp from any to any accept;', 'protocol icmp does not exist in family inet6'],
    ['rule 5 at 1 inout protocol tpc from any to any accept;', 'unknown protocol "tpc"; did you mean tcp?'],
    ['rule 5 at 1 inout protocol ip from any to any accept;', 'protocol ip is ambiguous'],
    ['rule 5 at 1 inout protocol 256 from any to any accept;', 'unknown protocol "256"'],
    ['rule 5 at 1 inout protocol icmp typecode 3:256 from any to any accept;', '"3:256" is not an ICMP type and code'],
    ['rule 5 at 1 inout protocol icmp icmptype 256 from any to any accept;', 'the ICMP type must be a number from 0 to 255'],
    ['rule 0 at 1 inout protocol tcp from any to any accept;', 'the rule id must be a number from 1 to 2147483647'],
    ['rule 2147483648 at 1 inout protocol tcp from any to any accept;', 'the rule id must be a number from 1 to 2147483647'],
    ['rule x at 1 inout protocol tcp from any to any accept;', 'the rule id must be a number'],
    ['rule 5 at 1 both protocol tcp from any to any accept;', 'expected in, out or inout, found "both"'],
    ['rule 5 at 1 inout protocol tcp from any to any allow;', 'expected accept, drop, reject or pass, found "allow"'],
    ['rule 5 at 1 inout protocol tcp from any to any punt;', 'action punt'],
    ['rule 5 at 1 inout protocol tcp from any to any accept', 'expected ";", found the end of the line'],
    ['rule 5 at 1 inout protocol tcp from any to any accept; rule 6', 'expected the end of the line, found "rule"'],
    ['rule 5 at 1 inout protocol tcp to any from any accept;', 'expected "from", found "to"'],
    ['rule 5 at 1 inout protocol tcp from not any to any accept;', 'expected addrset, ip or mac, found "any"'],
    ['rule 5 at 1 inout protocol tcp from ip 10.0.0.5/24 to any accept;', 'write 10.0.0.0/24'],
    ['rule 5 at 1 inout protocol tcp from mac 00:50:56:00:00:01 to any accept;', 'MAC addresses belong in layer 2 rules'],
    ["rule 5 at 1 inout protocol tcp from addrset a$b to any accept;", 'the address set name "a$b"'],
    ['rule 5 at 1 inout protocol tcp from any to any with attribute addrset attr_1_APP_ID accept;', 'application attributes'],
    ["rule 5 at 1 inout protocol tcp from any to any accept tag 'unclosed;", "expected a text in single quotes, found \"'\""],
    [`rule 5 at 1 inout protocol tcp from any to any accept tag '${'x'.repeat(65)}';`, 'longer than 64'],
    ['rule 5 at 1 inout ethertype any from any to any accept;', 'layer 2 rules belong in ruleset t_L2'],
    ['pass in all', 'expected "rule", found "pass"'],
  ])('refuses %s', (line, message) => {
    const problems = problemsOf(line);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.line).toBe(2);
    expect(problems[0]?.message).toContain(message);
  });

  it.each([
    ['rule 5 at 1 inout ethertype any from any to any reject;', 'a layer 2 rule cannot reject'],
    ['rule 5 at 1 inout ethertype any from any to any pass;', 'a layer 2 rule cannot pass'],
    ['rule 5 at 1 inout ethertype 0x0100 from any to any accept;', 'is not an ethertype'],
    ['rule 5 at 1 inout ethertype any from ip 10.0.0.1 to any accept;', 'MAC addresses only'],
    ['rule 5 at 1 inout protocol tcp from any to any accept;', 'ruleset t_L2 holds layer 2 rules'],
  ])('refuses %s in layer 2', (line, message) => {
    expect(problemsOf(line, 't_L2')[0]?.message).toContain(message);
  });

  it('shows the offending text, escaped and cut', () => {
    const [problem] = problemsOf(`rule 5 at 1 inout protocol tcp from addrset "x\u0007${'y'.repeat(4096)}" to any accept;`);
    expect(problem?.message).toContain('\\u0007');
    expect(problem?.message.length).toBeLessThan(600);
  });

  it('reports every bad line, at most 20, and yields no table', () => {
    const lines = Array.from({ length: 30 }, () => 'nonsense');
    const { tables, addressSets, problems } = parseRulesText(`addrset a {\nip 1.2.3.4,\n}\nruleset x {\n${lines.join('\n')}\n}\n`);
    expect(tables).toEqual([]);
    expect(addressSets).toEqual([]);
    expect(problems).toHaveLength(20);
    expect(problems[0]?.line).toBe(5);
  });

  it('names both lines of an id used twice', () => {
    const rule = (id: number, rest = 'accept'): string => `rule ${id} in protocol any from any to any ${rest};`;
    const check = (...lines: string[]): string | undefined => parseRulesText(`ruleset x {\n${lines.join('\n')}\n}\n`).problems[0]?.message;
    expect(check(rule(1), rule(1), rule(2))).toBeUndefined();
    expect(check(rule(1), rule(2), rule(1))).toBe('rule id 1 is used twice; only adjacent lines of one rule may share an id (lines 2 and 4)');
    expect(check(rule(1), rule(1, 'drop'))).toBe('two lines share the rule id 1 but differ in action (lines 2 and 3)');
    expect(check(rule(1), rule(1, 'accept with log'))).toContain('differ in log');
    expect(check(rule(1), rule(1, "accept tag 'x'"))).toContain('differ in tag');
  });

  it.each([
    ['ruleset x {\nrule 1 in protocol any from any to any accept;\n', 1, 'not closed'],
    ['ruleset x {\n}\nruleset x {\n}\n', 3, 'was already given on line 1'],
    ['ruleset x_L2 {\n}\nruleset x_L2 {\n}\n', 3, 'ruleset x_L2 was already given on line 1'],
    ['addrset x {\nip 1.2.3.4,\n}\naddrset x {\n}\n', 4, 'with other members'],
    ['addrset x {\n1.2.3.4\n}\n', 2, 'expected "ip ADDRESS,"'],
    ['addrset x {\nip web,\n}\n', 2, '"web" is not an address'],
    ['addrset x {\nip 00:50:56:00:00:01,\n}\n', 2, 'does not fit'],
    ['ruleset a;b {\n}\n', 1, 'may hold only letters'],
    ['ruleset _L2 {\n}\n', 1, 'name is empty'],
    ['rule 1 in protocol any from any to any accept;\n', 1, 'expected "ruleset NAME {"'],
    ['ruleset x {\n}\n\n}\n', 4, 'expected "ruleset NAME {"'],
    ['table inet filter {\n}\n', 1, 'found "table inet filter {"'],
  ])('refuses %j', (text, line, message) => {
    const { problems } = parseRulesText(text);
    expect(problems[0]?.line).toBe(line);
    expect(problems[0]?.message).toContain(message);
    expect(problems).toHaveLength(1);
  });

  it('accepts 4,000 rules and refuses 4,001 with the limit named', () => {
    const text = (count: number): string => `ruleset x {\n${Array.from({ length: count }, (_, i) => `rule ${i + 1} in protocol any from any to any drop;`).join('\n')}\n}\n`;
    expect(only(text(LIMITS.rulesPerTable)).rules).toHaveLength(4000);
    expect(parseRulesText(text(LIMITS.rulesPerTable + 1)).problems).toEqual([{ line: 4002, message: 'ruleset x has 4001 rules; the limit is 4000 (rulesPerTable)' }]);
  });

  it('never throws', () => {
    const word = fc.constantFrom('rule', 'ruleset', 'addrset', 'x', '{', '}', ',', ';', '5', 'at', 'inout', 'protocol', 'tcp', 'from', 'to', 'any', 'not', 'port', 'accept', 'with', 'log', "'", '\n', 'ip', '1.2.3.4', '#');
    fc.assert(fc.property(fc.oneof(fc.string(), fc.array(word).map((words) => words.join(' '))), (text) => {
      const { problems, tables } = parseRulesText(text);
      return problems.length === 0 || tables.length === 0;
    }), { numRuns: 500 });
  });
});

// ---- random tables -------------------------------------------------------------------------------------------------

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:/#-]{0,20}$/).filter((text) => !text.endsWith('_L2'));
const host = fc.integer({ min: 0, max: 0xffff_ffff }).map(v4ToText);
const address = fc.oneof(host, host.map((text) => `${text}-255.255.255.255`).filter((text) => !text.startsWith('255.255.255.255')), fc.constantFrom('10.0.0.0/8', 'fd00::/8', 'fe80::1', 'fd00::1-fd00::ff'));
const mac = fc.constantFrom('00:50:56:00:00:01', '0a:58:0a:62:00:02');
const side = (literal: fc.Arbitrary<string>): fc.Arbitrary<AddressMatch> =>
  fc.record({ not: fc.boolean(), addressSets: fc.array(name, { maxLength: 3 }), addresses: fc.array(literal, { maxLength: 3 }) })
    .map((match) => (match.addressSets.length + match.addresses.length === 0 ? { ...match, not: false } : match));
const ports = fc.array(fc.tuple(fc.integer({ min: 0, max: 65535 }), fc.integer({ min: 0, max: 100 })).map(([first, n]) => ({ first, last: Math.min(65535, first + n) })), { maxLength: 4 }).map(normalizePorts);
const direction = fc.constantFrom<Direction[]>('in', 'out', 'inout');
const tag = fc.stringMatching(/^[ !#-&(-~]{1,64}$/);
const none = fc.constant(undefined);
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.oneof(none, value);
const byte = fc.integer({ min: 0, max: 255 });
const icmp: fc.Arbitrary<IcmpMatch> = fc.tuple(byte, optional(byte)).map(([type, code]) => (code === undefined ? { type } : { type, code }));

interface Match { protocol: Protocol; ports: PortRange[]; sourcePorts: PortRange[]; family: 4 | 6 | undefined; icmp: IcmpMatch | undefined }
const noPorts = fc.constant<PortRange[]>([]);
const match: fc.Arbitrary<Match> = fc.oneof<fc.Arbitrary<Match>[]>(
  fc.record({ protocol: fc.constantFrom(6, 17, 132, 136, 33), ports, sourcePorts: ports, family: fc.constantFrom(4, 6, undefined), icmp: none }),
  fc.record({ protocol: fc.oneof(fc.constant('any' as const), byte.filter((n) => n !== 1 && n !== 58)), ports: noPorts, sourcePorts: noPorts, family: none, icmp: none }),
  fc.record({ protocol: fc.constantFrom(1, 58), ports: noPorts, sourcePorts: noPorts, family: none, icmp: optional(icmp) }),
);
const rules: fc.Arbitrary<Rule[]> = fc.array(
  fc.tuple(match, direction, fc.boolean(), optional(tag), side(address), side(address), fc.constantFrom('accept', 'drop', 'reject', 'pass'), fc.boolean()), { maxLength: 12 },
).map((drafts) => drafts.map(([{ protocol, ports: destinationPorts, sourcePorts, family, icmp: type }, way, log, text, source, destination, action, stateless], index) => ({
  id: 1000 + index, direction: way, ...(family === undefined ? {} : { family }), protocol, source, sourcePorts, destination, ports: destinationPorts,
  ...(type === undefined ? {} : { icmp: type }), action, log, ...(text === undefined ? {} : { tag: text }), stateless,
})));
const layer2Rules: fc.Arbitrary<Layer2Rule[]> = fc.array(
  fc.tuple(fc.oneof(fc.constant('any' as const), fc.integer({ min: 0x600, max: 0xffff })), direction, fc.boolean(), optional(tag), side(mac), side(mac), fc.constantFrom('accept', 'drop')),
  { maxLength: 6 },
).map((drafts) => drafts.map(([ethertype, way, log, text, source, destination, action], index) => (
  { id: 1 + index, direction: way, ethertype, source, destination, action, log, ...(text === undefined ? {} : { tag: text }) }
)));

/** Anything that a policy or its rules may be called. */
const spoken = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((text) => ruleNameProblem(text) === undefined);
const policy: fc.Arbitrary<PolicyReference> = fc.tuple(
  fc.constantFrom(...Object.values(POLICY_KINDS)), fc.constantFrom('web', 'a.b-c'), optional(fc.constant('default')), optional(spoken),
).map(([{ kind, group }, policyName, namespace, ruleName]) => ({ kind, group, name: policyName, ...(namespace === undefined ? {} : { namespace }), ...(ruleName === undefined ? {} : { rule: ruleName }) }));

describe('printing', () => {
  it('names the policy of a rule in a comment, which reading skips', () => {
    const reference = { kind: 'ClusterNetworkPolicy', group: 'crd.antrea.io', name: 'acnp1', rule: "don't; 'stop'" };
    const rule = oneRule('rule 1004 at 1 in protocol tcp from any to any port 80 pass;');
    if (!('protocol' in rule)) throw new Error('no layer 3 rule');
    expect(printRuleset('AntreaClusterNetworkPolicy:acnp1', 3, [ruleToView({ ...rule, policy: reference }, 1)])).toContain(
      "rule 1004 at 1 in protocol tcp from any to any port 80 pass; # AntreaClusterNetworkPolicy:acnp1 don't; 'stop'\n");
    fc.assert(fc.property(rules, fc.array(optional(policy), { minLength: 12, maxLength: 12 }), (plain, policies) => {
      const governed = plain.map((one, index): Rule => ({ ...one, ...(policies[index] === undefined ? {} : { policy: policies[index] }) }));
      expect(only(print({ name: 'K8sNetworkPolicy:x/np#in.x-0000beef', rules: governed, layer2Rules: [] })).rules).toEqual(plain);
    }), { numRuns: 200 });
  });

  it('is read back to the identical table', () => {
    fc.assert(fc.property(name, rules, layer2Rules, fc.constantFrom(0, 2), (table, l3, l2, indent) => {
      const parsed = only(print({ name: table, rules: l3, layer2Rules: l2 }, indent));
      expect(parsed.name).toBe(table);
      expect(parsed.rules).toEqual(l3);
      expect(parsed.layer2Rules).toEqual(l2);
      expect(print(parsed, indent)).toBe(print({ name: table, rules: l3, layer2Rules: l2 }, indent));
    }), { numRuns: 300 });
  });

  it('prints the NSX-T head when asked', () => {
    expect(printRuleset('mainrs', 2, [], { indent: 0, generation: 7, realizedAt: '2026-01-02T03:04:05' }))
      .toBe('ruleset mainrs_L2 {\n# generation number: 7\n# realization time : 2026-01-02T03:04:05\n# Filter rules\n}\n');
  });

  it('sorts the members of a set: IPv4, IPv6, MAC', () => {
    expect(printAddressSet('x', ['fe80::1', '10.0.0.10', '10.0.0.9', '00:50:56:00:00:01', '10.0.0.0/24'])).toBe(
      'addrset x {\nip 10.0.0.0/24,\nip 10.0.0.9,\nip 10.0.0.10,\nip fe80::1,\nmac 00:50:56:00:00:01,\n}\n');
    expect(printAddressSet('x', ['10.0.0.10', '10.0.0.9', '10.0.0.9'])).toBe('addrset x {\nip 10.0.0.9,\nip 10.0.0.10,\n}\n');
    expect(printAddressSet('x', [])).toBe('addrset x {\n}\n');
  });
});
