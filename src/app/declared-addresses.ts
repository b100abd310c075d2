/** Who declares which address, in some sources: kept up to date at the cost of what changed. */
import { objectKey, type DesiredObject } from '../model/objects.js';
import { ObjectView } from '../sources/object-store.js';
import type { Source } from '../sources/source.js';

interface Followed {
  readonly source: Pick<Source, 'snapshot'>;
  seen: ReadonlyMap<string, DesiredObject>;
  /** By key of the object: whose they are, and which. */
  readonly claims: Map<string, Claim>;
}

const NONE: ReadonlyMap<string, DesiredObject> = new Map();

export class DeclaredAddresses {
  private readonly followed: readonly Followed[];
  /** By address: how many objects say so, by owner. */
  private readonly owners = new Map<string, Map<string, number>>();
  private changes = 0;
  private hosts: readonly string[] = [];
  private hostSet: ReadonlySet<string> = new Set();

  /** `hostAddresses`: of this host; the same list while nothing changed. */
  constructor(sources: readonly Pick<Source, 'snapshot'>[], private readonly hostAddresses: () => readonly string[]) {
    this.followed = sources.map((source) => ({ source, seen: NONE, claims: new Map() }));
  }

  /** Differs when answers may. */
  revision(): number {
    this.refresh();
    return this.changes;
  }

  /** Somebody else than the workload with that key, as people name him; undefined: nobody. */
  ownerOf(address: string, workloadKey: string): string | undefined {
    this.refresh();
    if (this.hostSet.has(address)) return 'this host';
    for (const owner of this.owners.get(address)?.keys() ?? []) if (owner !== workloadKey) return owner;
    return undefined;
  }

  private refresh(): void {
    for (const followed of this.followed) this.look(followed);
    const hosts = this.hostAddresses();
    if (hosts === this.hosts) return;
    this.hosts = hosts;
    this.hostSet = new Set(hosts);
    this.changes += 1;
  }

  private look(followed: Followed): void {
    const { seen, claims, source } = followed;
    const now = source.snapshot().objects;
    if (now === seen) return;
    const changed = now instanceof ObjectView ? now.changedSince(seen) : undefined;
    for (const key of changed ?? new Set([...claims.keys(), ...now.keys()])) {
      const object = now.get(key);
      const before = claims.get(key);
      const after = object === undefined ? undefined : claimOf(object);
      if (before?.owner === after?.owner && before?.addresses.join() === after?.addresses.join()) continue;
      for (const address of before?.addresses ?? []) this.count(address, before?.owner ?? '', -1);
      for (const address of after?.addresses ?? []) this.count(address, after?.owner ?? '', 1);
      if (after === undefined) claims.delete(key);
      else claims.set(key, after);
      this.changes += 1;
    }
    followed.seen = now;
  }

  private count(address: string, owner: string, by: 1 | -1): void {
    const owners = this.owners.get(address) ?? new Map<string, number>();
    const many = (owners.get(owner) ?? 0) + by;
    if (many > 0) owners.set(owner, many);
    else owners.delete(owner);
    if (owners.size > 0) this.owners.set(address, owners);
    else this.owners.delete(address);
  }
}

interface Claim {
  readonly owner: string;
  readonly addresses: readonly string[];
}

/** Undefined: it declares none. */
function claimOf(object: DesiredObject): Claim | undefined {
  const addresses = addressesOf(object);
  return addresses.length === 0 ? undefined : { owner: ownerOf(object), addresses };
}

function addressesOf(object: DesiredObject): readonly string[] {
  if (object.kind === 'VirtualMachine') return object.nics.flatMap(({ addresses }) => addresses);
  if (object.kind === 'Node' || object.kind === 'Attachment') return object.addresses;
  // Those of the host's network are its node's.
  return object.kind === 'Pod' && object.hostNetwork !== true ? object.addresses : [];
}

/** Whose an Attachment is, its addresses are. */
function ownerOf(object: DesiredObject): string {
  if (object.kind !== 'Attachment') return objectKey(object);
  const { kind, namespace, name } = object.workload;
  return objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } });
}
