/** What changed of the desired state, for sources that keep one map and give views of it. */
import { expect, it } from 'vitest';
import { DesiredState } from '../../../src/app/desired.js';
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
