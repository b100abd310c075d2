/** What a discovery found, as a source of desired state gives it out: snapshots that stay the same while nothing changed. */
import { objectKey, type AttachmentObject, type DesiredObject, type NodeObject, type VirtualMachineObject } from '../model/objects.js';

export interface DiscoverySnapshot {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, unknown>;
  /** Documents that were refused: files that somebody else wrote. */
  readonly errors: readonly RefusedDocument[];
  readonly revision: number;
}

export interface RefusedDocument {
  readonly object: string;
  readonly path: string;
  readonly message: string;
}

/** What discoveries make. */
export type FoundObject = AttachmentObject | NodeObject | VirtualMachineObject;

export class FoundObjects {
  private current: DiscoverySnapshot = { objects: new Map(), manifests: new Map(), errors: [], revision: 0 };
  private readonly listeners = new Set<() => void>();

  /** True after the first publish(). */
  get synced(): boolean {
    return this.current.revision > 0;
  }

  snapshot(): DiscoverySnapshot {
    return this.current;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Replaces what was found; true when that is something else than before, or the first. Tells nobody: see tell(). Objects that are alike stay the same objects. */
  publish(found: readonly FoundObject[], errors: readonly RefusedDocument[] = []): boolean {
    const before = this.current;
    const objects = new Map(found.map((object): [string, DesiredObject] => {
      const key = objectKey(object);
      const known = before.objects.get(key);
      return [key, known !== undefined && JSON.stringify(known) === JSON.stringify(object) ? known : object];
    }));
    const same = objects.size === before.objects.size && [...objects].every(([key, object]) => before.objects.get(key) === object)
      && JSON.stringify(errors) === JSON.stringify(before.errors);
    if (same && before.revision > 0) return false;
    this.current = { objects, manifests: new Map(found.map((object) => [objectKey(object), manifestOf(object)])), errors, revision: before.revision + 1 };
    return true;
  }

  tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** As somebody would have written it. */
function manifestOf(object: FoundObject): unknown {
  const { name } = object.metadata;
  if (object.kind === 'Attachment') {
    const { workload, vnic, interface: port, mac, addresses } = object;
    return {
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name },
      spec: { workload, vnic, interface: port, ...(mac === undefined ? {} : { mac }), ...(addresses.length === 0 ? {} : { addresses }) },
    };
  }
  if (object.kind === 'Node') {
    return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: object.metadata.labels }, status: { addresses: object.addresses.map((address) => ({ type: 'InternalIP', address })) } };
  }
  const { metadata: { labels }, uuid, segment, nics } = object;
  return {
    apiVersion: 'dfw.dev/v1', kind: 'VirtualMachine', metadata: { name, labels },
    spec: { ...(uuid === undefined ? {} : { uuid }), ...(segment === undefined ? {} : { segment }), nics },
  };
}
