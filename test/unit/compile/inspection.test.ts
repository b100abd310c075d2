/** IDPSPolicies as TrafficControls. */
import { describe, expect, it } from 'vitest';
import { inspectionControls, selectionOf, type InspectionPorts } from '../../../src/compile/inspection.js';
import { WorldState } from '../../../src/compile/world.js';
import { objectKey, type IdpsPolicyObject, type TrafficControlObject } from '../../../src/model/objects.js';

const policy = (name: string, more: Partial<IdpsPolicyObject> = {}): IdpsPolicyObject => ({
  kind: 'IDPSPolicy', metadata: { name, labels: {} }, appliedTo: { podSelector: { matchLabels: { app: name }, matchExpressions: [] } }, direction: 'Both', mode: 'detect', onFailure: 'bypass', signatures: {}, ...more,
});
const control = (name: string): TrafficControlObject => ({
  kind: 'TrafficControl', metadata: { name, labels: {} }, appliedTo: {}, direction: 'Both', action: 'Mirror', target: { type: 'device', name: 'x', options: {} },
});
const COPIES: InspectionPorts = { tap: 'tap0' };
const INLINE: InspectionPorts = { tap: 'tap0', inline: { tap: 'ips0', returnTap: 'ips1' } };
const made = (ports: InspectionPorts | undefined, policies: readonly IdpsPolicyObject[], declared: readonly TrafficControlObject[] = []) =>
  inspectionControls(policies, new Map(declared.map((object) => [objectKey(object), object])), ports);

describe('inspectionControls', () => {
  it('makes a control of the same name and selection: copies to the tap, or the traffic itself through the engine', () => {
    const [a, b] = [policy('a', { direction: 'Ingress' }), policy('b', { mode: 'prevent', onFailure: 'block' })];
    expect(made(INLINE, [a, b])).toEqual({
      controls: [
        { kind: 'TrafficControl', metadata: a.metadata, appliedTo: a.appliedTo, direction: 'Ingress', action: 'Mirror', target: { type: 'device', name: 'tap0', options: {} }, inspection: { mode: 'detect', onFailure: 'bypass' } },
        {
          kind: 'TrafficControl', metadata: b.metadata, appliedTo: b.appliedTo, direction: 'Both', action: 'Redirect', target: { type: 'device', name: 'ips0', options: {} },
          returnPort: { type: 'device', name: 'ips1', options: {} }, inspection: { mode: 'prevent', onFailure: 'block' },
        },
      ],
      inForce: [a, b], problems: [],
    });
  });

  it.each([
    ['a host without an engine', undefined, policy('a'), [], '', 'ids.enabled'],
    ['an engine that only gets copies', COPIES, policy('a', { mode: 'prevent' }), [], 'spec.mode', 'ids.mode'],
    ['a TrafficControl of that name', COPIES, policy('a'), [control('a')], 'metadata.name', 'TrafficControl of this name'],
  ] as const)('says why not: %s', (_, ports, one, declared, path, reason) => {
    const { controls, inForce, problems } = made(ports, [one], declared);
    expect([controls, inForce, problems]).toEqual([[], [], [{ object: 'IDPSPolicy/a', path, message: expect.stringContaining(reason) }]]);
  });
});

describe('selectionOf', () => {
  const of = (...signatures: readonly IdpsPolicyObject['signatures'][]) => selectionOf(signatures.map((selection, index) => policy(`p${index}`, { signatures: selection })));
  it('is everything without policies, or where one wants everything', () => {
    expect([of(), of({}), of({ severities: [1] }, {})]).toEqual([{}, {}, {}]);
  });
  it('is what any of them selects', () => {
    expect(of({ severities: [1] })).toEqual({ severities: [1] });
    expect(of({ severities: [1] }, { severities: [1] })).toEqual({ severities: [1] });
    expect(of({ severities: [1] }, { categories: ['x'], disabledSids: [5] })).toEqual({ anyOf: [{ severities: [1] }, { categories: ['x'], disabledSids: [5] }] });
  });
  it('has the strictest action of each signature', () => {
    expect(of({ actions: { 1: 'drop', 2: 'alert' } }, { actions: { 1: 'alert', 2: 'reject', 3: 'pass' } })).toEqual({ actions: { 1: 'drop', 2: 'reject', 3: 'pass' } });
  });
});

describe('WorldState', () => {
  it('follows policies as they come, change and go, beside declared controls', () => {
    const world = new WorldState({ number: () => 1 }, COPIES);
    const change = (before: IdpsPolicyObject | TrafficControlObject | undefined, after: IdpsPolicyObject | TrafficControlObject | undefined) => {
      const object = after ?? before;
      return world.update(object === undefined ? [] : [{ key: objectKey(object), ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }]);
    };
    const names = ({ trafficControls }: { readonly trafficControls: readonly TrafficControlObject[] }): string[] => trafficControls.map(({ metadata, direction }) => `${metadata.name} ${direction}`);
    const [b, c] = [policy('b'), control('c')];
    expect(names(change(undefined, c))).toEqual(['c Both']);
    expect(names(change(undefined, b))).toEqual(['b Both', 'c Both']);
    const changed = policy('b', { direction: 'Egress' });
    expect(names(change(b, changed))).toEqual(['b Egress', 'c Both']);
    const clash = change(undefined, policy('c'));
    expect([names(clash), clash.problems.map(({ object }) => object)]).toEqual([['b Egress', 'c Both'], ['IDPSPolicy/c']]);
    expect(names(change(changed, undefined))).toEqual(['c Both']);
  });
});
