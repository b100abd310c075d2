import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EgressInventory } from '../../../../src/compile/egress/inventory.js';
import { egressPlan, type EgressSituation } from '../../../../src/compile/egress/plan.js';
import type { ObjectChange } from '../../../../src/compile/world.js';
import { objectKey, type DesiredObject, type PodObject } from '../../../../src/model/objects.js';

const meta = (name: string, labels: Readonly<Record<string, string>> = {}, namespace?: string) => ({ name, labels, ...(namespace === undefined ? {} : { namespace }) });
const labelled = (labels: Readonly<Record<string, string>>) => ({ matchLabels: labels, matchExpressions: [] });
const pod = (name: string, labels: Readonly<Record<string, string>>, addresses: readonly string[], nodeName = 'n1', namespace = 'default'): PodObject => ({ kind: 'Pod', metadata: meta(name, labels, namespace), nodeName, addresses, ports: [] });
const egress = (name: string, app: string, address: string, namespaceLabels?: Readonly<Record<string, string>>): DesiredObject => ({
  kind: 'Egress', metadata: meta(name), appliedTo: { podSelector: labelled({ app }), ...(namespaceLabels === undefined ? {} : { namespaceSelector: labelled(namespaceLabels) }) }, egressIp: address,
});
const namespace = (name: string, labels: Readonly<Record<string, string>>): DesiredObject => ({ kind: 'Namespace', metadata: meta(name, labels) });
const node = (name: string, addresses: readonly string[], podCidrs: readonly string[] = []): DesiredObject => ({ kind: 'Node', metadata: meta(name), addresses, podCidrs });

function fill(objects: readonly DesiredObject[]): EgressInventory {
  const inventory = new EgressInventory();
  inventory.update(objects.map((after) => ({ key: objectKey(after), after })));
  return inventory;
}
const chosen = (inventory: EgressInventory): string[] => inventory.selection.pods.map(({ pod: { metadata }, egress: name, address, from }) => `${metadata.name} ${name} ${address} ${from.join()}`).sort();

describe('pods of Egresses', () => {
  test('by both selectors; not those of the node\'s network; the first Egress by name has a pod, for each family', () => {
    const inventory = fill([
      namespace('default', { env: 'prod' }), namespace('alt-ns', {}), egress('b', 'web', '192.0.2.2'), egress('a', 'web', '192.0.2.1', { env: 'prod' }), egress('c', 'web', 'fd99::1'),
      pod('one', { app: 'web' }, ['10.0.0.1', 'fd00::1']), pod('two', { app: 'web' }, ['10.0.0.2'], 'n2', 'alt-ns'), pod('three', { app: 'db' }, ['10.0.0.3']),
      { ...pod('four', { app: 'web' }, []), hostNetwork: true },
    ]);
    expect(chosen(inventory)).toEqual(['one a 192.0.2.1 10.0.0.1', 'one c fd99::1 fd00::1', 'two b 192.0.2.2 10.0.0.2']);
    expect([...inventory.selection.taken]).toEqual([['b', 1]]);
  });
  test('an Egress without selectors has no pods', () => expect(chosen(fill([{ kind: 'Egress', metadata: meta('a'), appliedTo: {}, egressIp: '192.0.2.1' }, pod('one', {}, ['10.0.0.1'])]))).toEqual([]));
  test('groups see the address that a pool gave', () => {
    const asked: DesiredObject = { kind: 'Egress', metadata: meta('a'), appliedTo: {}, externalIpPool: 'p' };
    const from: DesiredObject = { kind: 'ExternalIPPool', metadata: meta('p'), ranges: ['192.0.2.7'], nodeSelector: labelled({}) };
    const inventory = new EgressInventory();
    expect(inventory.update([{ key: 'Egress/a', after: asked }])).toEqual([{ key: 'Egress/a', after: asked }]);
    // The Egress itself did not change: its address did.
    expect(inventory.update([{ key: 'ExternalIPPool/p', after: from }])).toEqual([
      { key: 'ExternalIPPool/p', after: from }, { key: 'Egress/a', before: asked, after: { ...asked, egressIp: '192.0.2.7' } },
    ]);
    expect(inventory.update([{ key: 'Egress/a', before: asked }])).toEqual([{ key: 'Egress/a', before: { ...asked, egressIp: '192.0.2.7' } }]);
  });
  test('random histories end where a fresh start does', () => {
    const object = fc.oneof(
      fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y'), fc.constantFrom('192.0.2.1', '192.0.2.2', 'fd99::1'), fc.option(fc.constantFrom('p', 'q'), { nil: undefined }))
        .map(([name, app, address, env]) => egress(name, app, address, env === undefined ? undefined : { env })),
      fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom('x', 'y'), fc.constantFrom('s', 't')).map(([n, app, ns]) => pod(`pod${n}`, { app }, [`10.0.0.${n}`, `fd00::${n}`], 'n1', ns)),
      fc.tuple(fc.constantFrom('s', 't'), fc.constantFrom('p', 'q')).map(([name, env]) => namespace(name, { env })),
    );
    fc.assert(fc.property(fc.array(fc.tuple(object, fc.boolean()), { maxLength: 40 }), (history) => {
      const inventory = new EgressInventory();
      const now = new Map<string, DesiredObject>();
      for (const [one, present] of history) {
        const key = objectKey(one);
        const before = now.get(key);
        if (present) now.set(key, one);
        else now.delete(key);
        if (before === undefined && !present) continue;
        inventory.update([{ key, ...(before === undefined ? {} : { before }), ...(present ? { after: one } : {}) } satisfies ObjectChange]);
      }
      expect(chosen(inventory)).toEqual(chosen(fill([...now.values()])));
    }), { numRuns: 200 });
  });
});

describe('the plan of a node', () => {
  const inventory = fill([
    node('n1', ['192.0.2.11', 'fd11::1'], ['10.0.0.0/24']), node('n2', ['192.0.2.12']), egress('a', 'web', '192.0.2.1'), egress('b', 'db', '192.0.2.2'), egress('c', 'none', '192.0.2.3'),
    pod('here', { app: 'web' }, ['10.0.0.1']), pod('there', { app: 'web' }, ['10.0.1.1'], 'n2'), pod('db-here', { app: 'db' }, ['10.0.0.2']), pod('db-there', { app: 'db' }, ['10.0.1.2'], 'n2'), pod('lost', { app: 'none' }, ['10.0.0.3']),
  ]);
  const situation: EgressSituation = {
    node: 'n1', holders: new Map([['192.0.2.1', { node: 'n1', endpoint: '192.0.2.11' }], ['192.0.2.2', { node: 'n2', endpoint: '192.0.2.12' }]]),
    endpoints: new Map([['n1', '192.0.2.11'], ['n2', '192.0.2.12']]), except: ['172.16.0.0/12'], fixed: new Set(), isLocal: ({ nodeName }) => nodeName === 'n1',
  };
  test('translates for its own address, sends on for others\', drops for nobody\'s', () => {
    const plan = egressPlan(inventory.selection, situation);
    expect([...plan.translate]).toEqual([['10.0.0.1', '192.0.2.1'], ['10.0.1.1', '192.0.2.1']]);
    expect([...plan.back]).toEqual([['10.0.1.1', '192.0.2.12']]);
    expect([...plan.away]).toEqual([['10.0.0.2', '192.0.2.12'], ['10.0.0.3', undefined]]);
    expect(plan.except).toEqual(expect.arrayContaining(['172.16.0.0/12', '10.0.0.0/24', '192.0.2.11', '192.0.2.12', 'fd11::1', '127.0.0.0/8', 'fe80::/10']));
  });
  test('an address that somebody put on an interface is no lease\'s', () => {
    expect(egressPlan(inventory.selection, { ...situation, fixed: new Set(['192.0.2.1']) }).addresses).toEqual(['192.0.2.2', '192.0.2.3']);
  });
});
