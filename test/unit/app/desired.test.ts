/** What changed of the desired state, for sources that keep one map and give views of it. */
import { expect, it } from 'vitest';
import { DesiredState, mergeSources } from '../../../src/app/desired.js';
import type { NamespaceObject } from '../../../src/model/objects.js';
import { ObjectStore } from '../../../src/sources/object-store.js';
import type { Source, SourceSnapshot } from '../../../src/sources/source.js';

/** More than an ObjectStore remembers the changes of. */
const MANY = 200_001;

it('loses no change, also when more changed at once than the source remembers', () => {
  const store = new ObjectStore();
  const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): NamespaceObject => ({ kind: 'Namespace', metadata: { name, labels } });
  let view = store.publish(1);
  const source = { snapshot: (): Pick<SourceSnapshot, 'objects'> => ({ objects: view }) } as Source;
  const desired = new DesiredState([{ name: 'test', source }]);
  expect(desired.take().changes).toEqual([]);
  for (let n = 0; n < MANY; n += 1) store.set(`Namespace/n${n}`, namespace(`n${n}`));
  view = store.publish(2);
  expect(desired.take().changes).toHaveLength(MANY);
  for (let n = 0; n < MANY; n += 1) store.set(`Namespace/n${n}`, namespace(`n${n}`, n % 1_000 === 0 ? { changed: 'yes' } : {}));
  store.delete('Namespace/n5');
  view = store.publish(3);
  const { changes } = desired.take();
  expect(changes.filter(({ after }) => after === undefined).map(({ key }) => key)).toEqual(['Namespace/n5']);
  expect(changes).toHaveLength(202);
  expect(desired.take().changes).toEqual([]);
});

it('what an overlay completes is in force in the place of the object, while somebody holds that', () => {
  const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): NamespaceObject => ({ kind: 'Namespace', metadata: { name, labels } });
  let objects: SourceSnapshot['objects'] = new Map([['Namespace/a', namespace('a')]]);
  let completed: SourceSnapshot['objects'] = new Map([['Namespace/a', namespace('a', { more: 'yes' })], ['Namespace/b', namespace('b')]]);
  const manifests = new Map([['Namespace/a', 'as it was written']]);
  const sources = [
    { name: 'file', source: { snapshot: () => ({ objects, manifests, errors: [], revision: 1 }) } as unknown as Source },
    { name: 'overlay', source: { overlay: true, snapshot: () => ({ objects: completed, manifests: new Map(), errors: [], revision: 1 }) } as unknown as Source },
  ];
  const desired = new DesiredState(sources);
  const changes = (): (readonly [string, unknown])[] => desired.take().changes.map(({ key, after }) => [key, after?.metadata.labels]);
  expect(changes()).toEqual([['Namespace/a', { more: 'yes' }]]);
  expect([...mergeSources(sources).objects.values()].map(({ metadata }) => metadata.labels)).toEqual([{ more: 'yes' }]);
  expect(mergeSources(sources)).toMatchObject({ problems: [], manifests: new Map([['Namespace/a', { manifest: 'as it was written', source: 'file' }]]) });
  completed = new Map();
  expect(changes()).toEqual([['Namespace/a', {}]]);
  completed = new Map([['Namespace/a', namespace('a', { more: 'yes' })]]);
  objects = new Map();
  expect(changes()).toEqual([['Namespace/a', undefined]]);
  expect(mergeSources(sources).objects.size).toBe(0);
});
