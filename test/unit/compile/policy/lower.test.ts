/** What holds for policies of every kind. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { portServices } from '../../../../src/compile/policy/services.js';
import { keyRules, type RuleDraft } from '../../../../src/compile/policy/rule-key.js';
import { targetsOf } from '../../../../src/compile/policy/lower.js';
import type { Service } from '../../../../src/compile/policy/ir.js';
import { objectKey } from '../../../../src/model/objects.js';
import type { PolicyObject, PolicyPort } from '../../../../src/model/policy-objects.js';
import { networkPolicy, policy, port } from './arbitraries.js';
import { lower } from './objects.js';

/** The same rules, backwards; those without a name get the one of their new place. */
function reversed(object: PolicyObject): PolicyObject {
  if (object.kind !== 'SecurityPolicy') return Object.assign({}, object, { ingress: object.ingress.toReversed(), egress: object.egress.toReversed() });
  return { ...object, rules: object.rules.toReversed().map((rule, index) => (rule.name.startsWith('rule-') ? { ...rule, name: `rule-${index + 1}` } : rule)) };
}

it('keys are unique in a policy, and stay when rules change places', () => {
  fc.assert(fc.property(policy, (object) => {
    const { rules } = lower(object);
    // Names and logging are no part of the content that unnamed rules are known by; all else must be found again under its key.
    const byKey = (list: typeof rules): unknown => Object.fromEntries(list.map(({ key, name, log, tag, ...rest }) => [key, rest]));
    expect(new Set(rules.map(({ key }) => key)).size).toBe(rules.length);
    const turned = lower(reversed(object)).rules;
    expect(turned.map(({ key }) => key).toSorted()).toEqual(rules.map(({ key }) => key).toSorted());
    expect(canonical(byKey(turned))).toEqual(canonical(byKey(rules)));
  }), { numRuns: 2_000 });
});

it('rules without names keep their keys when others go', () => {
  fc.assert(fc.property(networkPolicy, (object) => {
    const keys = lower(object).rules.map(({ key }) => key);
    for (const [index] of object.ingress.entries()) {
      const fewer = lower({ ...object, ingress: object.ingress.toSpliced(index, 1) }).rules.map(({ key }) => key);
      for (const key of fewer) expect(keys).toContain(key);
    }
  }));
});

it('the targets of an object are those of what is made of it', () => {
  fc.assert(fc.property(policy, (object) => {
    const { rules, isolates } = lower(object);
    const known = new Set(targetsOf(object).map((target) => JSON.stringify(target)));
    const used = new Set([...rules.flatMap(({ targets }) => targets), ...isolates.targets].map((target) => JSON.stringify(target)));
    for (const target of used) expect(known).toContain(target);
    if (object.kind === 'SecurityPolicy') expect(used).toEqual(known);
  }), { numRuns: 2_000 });
});

it('is the same each time, and named after the object', () => {
  fc.assert(fc.property(policy, (object) => {
    const lowered = lower(object);
    expect(lower(structuredClone(object))).toEqual(lowered);
    expect(lowered.key).toBe(objectKey(object));
    expect(lowered.order.name).toMatch(object.metadata.namespace === undefined ? /^[A-Za-z0-9]+:[a-c]$/ : /^[A-Za-z0-9]+:[a-c]\/[a-c]$/);
    expect(lowered.isolates.in || lowered.isolates.out).toBe(object.kind === 'NetworkPolicy' && object.policyTypes.length > 0);
  }));
});

it('names that repeat are told apart by content, not by place, and never taken from a user', () => {
  const rule = (name: string, fqdn: string): RuleDraft => ({ name, rule: {
    direction: 'out', action: 'drop', sources: 'any', sourcesExcluded: false, destinations: [{ fqdn }], destinationsExcluded: false, services: 'any', targets: [], log: false,
  } });
  const drafts = [rule('a', 'x'), rule('a', 'y'), rule('a#2', 'z'), rule('a', 'w')];
  const keys = (list: RuleDraft[]): unknown => Object.fromEntries(keyRules(list).map(({ key, destinations }) => [key, destinations]));
  expect(keyRules(drafts).map(({ key }) => key)).toEqual(['a#3', 'a#4', 'a#2', 'a']);
  expect(keys(drafts.toReversed())).toEqual(keys(drafts));
});

it('rows of services match what the ports match', () => {
  const packet = fc.record({ protocol: fc.constantFrom(6, 17), source: fc.integer({ min: 0, max: 20 }), destination: fc.integer({ min: 0, max: 20 }) });
  type Packet = { readonly protocol: number; readonly source: number; readonly destination: number };
  const inside = (value: number, first: number | undefined, last: number | undefined): boolean => first === undefined || (value >= first && value <= (last ?? first));
  const byPort = (one: PolicyPort, { protocol, source, destination }: Packet): boolean =>
    one.protocol === protocol && inside(source, one.sourcePort, one.sourceEndPort) && (typeof one.port === 'string' ? destination === NAMES[one.port] : inside(destination, one.port, one.endPort));
  const byRanges = (value: number, ranges: readonly { readonly first: number; readonly last: number }[]): boolean => ranges.length === 0 || ranges.some(({ first, last }) => inside(value, first, last));
  const byService = (one: Service, { protocol, source, destination }: Packet): boolean => {
    if ('icmp' in one || one.protocol !== protocol || !byRanges(source, one.sourcePorts)) return false;
    return 'namedPort' in one ? destination === NAMES[one.namedPort] : byRanges(destination, one.ports);
  };
  fc.assert(fc.property(fc.array(port, { maxLength: 4 }), fc.array(packet, { minLength: 20, maxLength: 20 }), (ports, packets) => {
    const rows = portServices(ports);
    for (const one of packets) expect(rows.some((row) => byService(row, one))).toBe(ports.some((each) => byPort(each, one)));
  }), { numRuns: 1_000 });
});

const NAMES: Readonly<Record<string, number>> = { a: 3, b: 7, c: 11 };

/** Lists of a rule are sets: their order says nothing. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((element) => JSON.stringify(canonical(element))))].sort();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, canonical(inner)] as const).sort(([a], [b]) => (a < b ? -1 : 1)));
}
