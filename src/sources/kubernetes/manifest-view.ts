/** Manifests of the store's objects: kept for most kinds, made from the object for Pods, of which there are many. */
import type { DesiredObject } from '../../model/objects.js';
import type { ObjectStore } from '../object-store.js';
import { podManifest } from './trim.js';

export class ManifestView implements ReadonlyMap<string, unknown> {
  constructor(private readonly store: ObjectStore, private readonly kept: ReadonlyMap<string, unknown>) {}

  get size(): number { return this.store.size; }
  has(key: string): boolean { return this.store.get(key) !== undefined; }
  get(key: string): unknown {
    const object = this.store.get(key);
    return object === undefined ? undefined : this.manifestOf(key, object);
  }
  keys(): MapIterator<string> { return this.store.keys(); }
  *entries(): MapIterator<[string, unknown]> {
    for (const [key, object] of this.store.entries()) yield [key, this.manifestOf(key, object)];
  }
  *values(): MapIterator<unknown> {
    for (const [key, object] of this.store.entries()) yield this.manifestOf(key, object);
  }
  forEach(action: (value: unknown, key: string, map: ReadonlyMap<string, unknown>) => void): void {
    for (const [key, manifest] of this.entries()) action(manifest, key, this);
  }
  [Symbol.iterator](): MapIterator<[string, unknown]> { return this.entries(); }

  private manifestOf(key: string, object: DesiredObject): unknown {
    return object.kind === 'Pod' ? podManifest(object) : this.kept.get(key);
  }
}
