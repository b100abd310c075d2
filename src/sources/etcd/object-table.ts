/**
 * From keys to objects: which key's value stands for an object, what stays of a key whose value became bad, what is refused. Pure. One object
 * may be claimed by several keys: those of this host stand before those of all hosts, and say so to nobody; within one
 * scope protobuf before manifests, and the others are errors. An address set is its key and its parts: all of them, or
 * those that it names, which come into force together with it.
 */
import type { AddressSetObject, DesiredObject } from '../../model/objects.js';
import { LIMITS } from '../../model/rule.js';
import { ObjectStore } from '../object-store.js';
import type { SourceError, SourceSnapshot } from '../source.js';
import type { ObjectPlace } from './keys.js';
import type { Good, Refusal, Verdict } from './values.js';

export interface KeyChange {
  readonly key: string;
  /** What the key is; a refusal where it is none of ours. */
  readonly place: ObjectPlace | Refusal;
  /** undefined: the key is gone. */
  readonly verdict: Verdict | undefined;
}

type Found = { readonly object: DesiredObject; readonly manifest: unknown } | 'held';
type GoodSet = Extract<Good, { form: 'set' }>;
interface Entry { readonly place: ObjectPlace; readonly good: Good | undefined }

/** Errors told at once. */
const MAX_ERRORS = 1_000;

export class ObjectTable {
  readonly #entries = new Map<string, Entry>();
  /** Keys that claim an object. */
  readonly #claims = new Map<string, Set<string>>();
  readonly #store = new ObjectStore();
  readonly #manifests = new Map<string, unknown>();
  readonly #refused = new Map<string, SourceError>();
  /** By scope and set, of sets that name their parts: what was made of which. A part that comes beside them changes nothing. */
  readonly #assembled = new Map<string, { readonly of: readonly GoodSet[]; readonly result: Found }>();
  /** By object. */
  readonly #conflicts = new Map<string, readonly SourceError[]>();
  #snapshot: SourceSnapshot = { objects: new Map(), manifests: this.#manifests, errors: [], revision: 0 };

  get snapshot(): SourceSnapshot {
    return this.#snapshot;
  }

  get size(): number {
    return this.#store.size;
  }

  /** Takes changes in, and publishes one snapshot. False: nothing that anybody would see changed, and there was a snapshot already. */
  apply(changes: readonly KeyChange[]): boolean {
    const objects = new Set<string>();
    let errors = false;
    for (const { key, place, verdict } of changes) {
      errors = this.#note(key, refusalOf(place, verdict)) || errors;
      if (!('form' in place)) continue;
      const good = verdict === undefined ? undefined : 'good' in verdict ? verdict.good : this.#entries.get(key)?.good;
      if (verdict === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { place, good });
      this.#claim(place.object, key, verdict !== undefined);
      objects.add(place.object);
    }
    for (const object of objects) errors = this.#resolve(object) || errors;
    if (!this.#store.dirty && !errors && this.#snapshot.revision > 0) return false;
    const revision = this.#snapshot.revision + 1;
    this.#snapshot = { objects: this.#store.publish(revision), manifests: this.#manifests, errors: this.#errors(), revision };
    return true;
  }

  #note(key: string, refusal: Refusal | undefined): boolean {
    const before = this.#refused.get(key);
    if (refusal === undefined) return this.#refused.delete(key);
    if (before?.path === refusal.path && before.message === refusal.message) return false;
    this.#refused.set(key, { object: shown(key), ...refusal });
    return true;
  }

  #claim(object: string, key: string, claimed: boolean): void {
    const keys = this.#claims.get(object) ?? new Set<string>();
    if (claimed) keys.add(key);
    else keys.delete(key);
    if (keys.size > 0) this.#claims.set(object, keys);
    else this.#claims.delete(object);
  }

  /** True when the object's errors changed. */
  #resolve(object: string): boolean {
    const problems: SourceError[] = [];
    const found = this.#chosen(object, problems);
    if (found === undefined) {
      this.#store.delete(object);
      this.#manifests.delete(object);
    } else if (found !== 'held') {
      this.#manifests.set(object, found.manifest);
      this.#store.set(object, found.object);
    }
    const before = this.#conflicts.get(object) ?? [];
    if (problems.length === 0) this.#conflicts.delete(object);
    else this.#conflicts.set(object, problems);
    return JSON.stringify(before) !== JSON.stringify(problems);
  }

  /** `held`: what it was before stays. */
  #chosen(object: string, problems: SourceError[]): Found | undefined {
    const entries = [...(this.#claims.get(object) ?? [])].sort().flatMap((key) => {
      const entry = this.#entries.get(key);
      return entry === undefined ? [] : [{ key, ...entry }];
    });
    let chosen: Found | undefined;
    for (const scope of ['host', 'all'] as const) {
      const here = entries.filter(({ place }) => place.scope === scope);
      let owner: string | undefined;
      const take = (key: string, value: Found): void => {
        if (owner === undefined) chosen ??= value;
        else problems.push({ object: shown(key), path: '', message: `${object} is already defined by ${shown(owner)}` });
        owner ??= key;
      };
      const parts = here.filter(({ place }) => place.form === 'addressset' && place.part !== undefined);
      const head = here.find(({ place }) => place.form === 'addressset' && place.part === undefined);
      if (head?.good?.form === 'set') take(head.key, this.#assembleNamed(scope, object, { key: head.key, good: head.good }, parts, problems));
      else this.#assembled.delete(`${scope} ${object}`);
      if (head?.good === undefined) for (const { key } of parts) problems.push({ object: shown(key), path: '', message: 'is a part of a set that has no key of its own; it is not in force' });
      for (const form of ['ruletable', 'manifest']) {
        for (const { key, place, good } of here) if (place.form === form && good?.form === 'object') take(key, good);
      }
    }
    return chosen;
  }

  /** Of a set that names its parts, these; what else there is was, or will be, another version of it. */
  #assembleNamed(scope: string, object: string, { key, good: head }: { readonly key: string; readonly good: GoodSet }, found: readonly { readonly place: ObjectPlace; readonly good: Good | undefined }[], problems: SourceError[]): Found {
    const goods = new Map(found.flatMap(({ place, good }): [string, GoodSet][] => (place.form === 'addressset' && good?.form === 'set' ? [[place.part ?? '', good]] : [])));
    const { parts: names } = head;
    const missing = names?.find((name) => !goods.has(name));
    if (missing !== undefined) {
      problems.push({ object: shown(key), path: 'parts', message: `part ${JSON.stringify(missing)} of the set is not there, or bad; the set stays as it was` });
      return 'held';
    }
    const of = [head, ...(names === undefined ? goods.values() : names.flatMap((name) => goods.get(name) ?? []))];
    const known = this.#assembled.get(`${scope} ${object}`);
    if (known !== undefined && known.of.length === of.length && known.of.every((good, index) => good === of[index])) return known.result;
    const result = this.#assemble(object, key, of, problems);
    // What has a problem says it each time.
    if (result === 'held' || names === undefined) this.#assembled.delete(`${scope} ${object}`);
    else this.#assembled.set(`${scope} ${object}`, { of, result });
    return result;
  }

  #assemble(object: string, key: string, parts: readonly GoodSet[], problems: SourceError[]): { readonly object: AddressSetObject; readonly manifest: unknown } | 'held' {
    const [first, ...more] = parts;
    const count = parts.reduce((sum, { addresses }) => sum + addresses.length, 0);
    if (count > LIMITS.addressesPerSet) {
      problems.push({ object: shown(key), path: 'addresses', message: `${count} addresses with all parts; the limit is ${LIMITS.addressesPerSet} (addressesPerSet)` });
      return 'held';
    }
    const name = object.slice('AddressSet/'.length);
    const labels = first?.labels ?? {};
    const addresses = more.length === 0 ? (first?.addresses ?? []) : parts.flatMap((part) => part.addresses);
    return {
      object: { kind: 'AddressSet', metadata: { name, labels }, addresses },
      manifest: { apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name, ...(Object.keys(labels).length === 0 ? {} : { labels }) }, spec: { addresses } },
    };
  }

  #errors(): SourceError[] {
    const all = [...this.#refused.values(), ...[...this.#conflicts.values()].flat()];
    if (all.length <= MAX_ERRORS) return all;
    return [...all.slice(0, MAX_ERRORS), { object: 'etcd', path: '', message: `${all.length - MAX_ERRORS} more keys are refused` }];
  }
}

function refusalOf(place: ObjectPlace | Refusal, verdict: Verdict | undefined): Refusal | undefined {
  if (verdict === undefined) return undefined;
  if (!('form' in place)) return place;
  return 'refused' in verdict ? verdict.refused : undefined;
}

/** Keys may hold any bytes. */
export function shown(key: string): string {
  return /^[\x21-\x7e]*$/.test(key) ? key : JSON.stringify(key).replace(/[^\x20-\x7e]/g, (character) => `\\x${character.charCodeAt(0).toString(16)}`);
}
