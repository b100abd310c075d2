/**
 * Objects in etcd as managers change them: read, compared, written in one step where nobody else changed them meanwhile. Rule tables and address
 * sets are written as protobuf, everything else as JSON; what stands in another form is changed where it stands. A set that is too large for one
 * request is written in parts (set-parts.ts), none of which is in force before the last request names them all, and takes the place of what was.
 */
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import { KINDS } from '../../model/kinds.js';
import { objectKey, type AddressSetObject, type DesiredObject } from '../../model/objects.js';
import { POLICY_KINDS } from '../../model/policy-objects.js';
import { InlineParser } from '../file/file-parser.js';
import { keysUnder, onlyKey, type Condition, type EtcdClient, type KeyRange, type KeyValue, type Write } from './client/etcd.js';
import type { EtcdKeys, ObjectName, ObjectPlace } from './keys.js';
import { ObjectTable, shown } from './object-table.js';
import { RuleTableCodec } from './ruletable/codec.js';
import { splitSet, type SetPart } from './set-parts.js';
import { ValueReader } from './values.js';

/** A validated object with the manifest that is to be stored. */
export interface NewObject { readonly object: DesiredObject; readonly manifest: unknown }
export interface StoredObject {
  readonly object: DesiredObject;
  /** With metadata.resourceVersion: the revision of its last change. */
  readonly manifest: unknown;
}
export interface Refused { readonly object: string; readonly path: string; readonly message: string }
export interface ObjectChange { readonly object: string; readonly operation: 'created' | 'configured' | 'unchanged' | 'deleted' }

export interface EtcdObjectsOptions {
  readonly client: EtcdClient;
  readonly keys: EtcdKeys;
  /** Objects of one host; absent: of all hosts. */
  readonly host?: string;
  /** Most that one request holds, a little less than etcd takes; default 1.4 MB. */
  readonly requestBytes?: number;
}

/** etcd takes 128 of each by its default. */
const OPERATIONS = 120;
/** etcd takes 1.5 MiB a request by its default. */
const REQUEST_BYTES = 1_400_000;
/** Of a request, the addresses in a part. */
const PART = 0.7;
const READS_AT_ONCE = 32;
const PAGE = 500;

/** What stands for one object now. */
interface Standing { readonly name: ObjectName; readonly held: readonly KeyValue[]; readonly conditions: readonly Condition[] }
interface Step {
  readonly object: string;
  readonly conditions: readonly Condition[];
  readonly writes: readonly Write[];
  /** What must be there before these writes. */
  readonly before?: PartsFirst;
}
interface PartsFirst {
  /** The key of the set. */
  readonly head: string;
  /** The set as it stands, which must say what parts it has before others may come. */
  readonly pinned?: Uint8Array;
  /** Those that are there already are among the step's conditions. */
  readonly parts: readonly { readonly key: string; readonly value: Uint8Array }[];
}

export class EtcdObjects {
  readonly #codec = new RuleTableCodec();
  readonly #reader = new ValueReader(new InlineParser());

  readonly #requestBytes: number;

  constructor(private readonly options: EtcdObjectsOptions) {
    this.#requestBytes = options.requestBytes ?? REQUEST_BYTES;
  }

  /** Objects of these kinds (KindInfo.kind), by name, and keys whose values are none. */
  async list(kinds: readonly string[], signal: AbortSignal): Promise<{ readonly objects: StoredObject[]; readonly refused: Refused[] }> {
    const { keys, host } = this.options;
    const wanted = new Set(kinds);
    const ranges = keys.managed(host).filter(({ from }) => (from.endsWith('/ruletables/') ? wanted.has('RuleTable') : from.endsWith('/addresssets/') ? wanted.has('AddressSet') : false));
    for (const kind of wanted) ranges.push(keysUnder(keys.manifest({ kind, name: '' }, host)));
    const found: KeyValue[] = [];
    for (const range of ranges) found.push(...await this.#all(range, signal));
    return this.#objectsOf(found);
  }

  /** What apply() would do. @throws AgentError E_CONFLICT where a document has another resourceVersion than what stands. */
  async compare(objects: readonly NewObject[], signal: AbortSignal): Promise<ObjectChange[]> {
    return (await this.#plan(objects, signal)).map(({ change }) => change);
  }

  /**
   * Stores the objects; all or nothing, as far as etcd takes them in one step (120 changes, 1.4 MB), else in several; each object in one. A document with
   * metadata.resourceVersion is stored only over that revision. @throws AgentError E_CONFLICT when somebody else changed one meanwhile.
   */
  async apply(objects: readonly NewObject[], signal: AbortSignal): Promise<ObjectChange[]> {
    const planned = await this.#plan(objects, signal);
    await this.#commit(planned.flatMap(({ step }) => (step === undefined ? [] : [step])), signal);
    return planned.map(({ change }) => change);
  }

  /** `dryRun`: only looks. @throws AgentError E_NOT_FOUND for one that does not exist; nothing is deleted then. Else as apply(). */
  async delete(names: readonly ObjectName[], signal: AbortSignal, dryRun = false): Promise<ObjectChange[]> {
    const standing = await this.#standing(names, signal);
    const missing = standing.find(({ held }) => held.length === 0);
    if (missing !== undefined) throw new AgentError('E_NOT_FOUND', 'there is no such object in etcd', { object: objectName(missing.name) });
    if (!dryRun) await this.#commit(standing.map(({ name, held, conditions }) => ({ object: objectName(name), conditions, writes: held.map(({ key }) => ({ key, value: undefined })) })), signal);
    return standing.map(({ name }) => ({ object: objectName(name), operation: 'deleted' }));
  }

  async #plan(objects: readonly NewObject[], signal: AbortSignal): Promise<{ readonly change: ObjectChange; readonly step: Step | undefined }[]> {
    const seen = new Set<string>();
    for (const { object } of objects) {
      const key = objectKey(object);
      if (seen.has(key)) throw new AgentError('E_CONFLICT', 'is there twice', { object: key });
      seen.add(key);
    }
    const standing = await this.#standing(objects.map(({ object }) => nameOf(object)), signal);
    return Promise.all(objects.map(async (each, index) => {
      const stands = standing[index];
      if (stands === undefined) throw new AgentError('E_INTERNAL', 'an object was not looked up');
      return this.#planOne(each, stands);
    }));
  }

  async #planOne({ object, manifest }: NewObject, { held, conditions }: Standing): Promise<{ readonly change: ObjectChange; readonly step: Step | undefined }> {
    const key = objectKey(object);
    const revision = Math.max(0, ...held.map(({ modRevision }) => modRevision));
    const asked = resourceVersion(manifest);
    if (asked !== undefined && asked !== String(revision)) {
      throw new AgentError('E_CONFLICT', revision === 0 ? `was deleted since revision ${asked}, which the document is of` : `was changed by somebody else: it is at revision ${revision}, the document is of ${asked}. Get it again and repeat the change`, { object: key });
    }
    const { objects: [before] } = await this.#objectsOf(held);
    const stored = withoutVersion(manifest);
    const same = before !== undefined && isSame(before.object, object)
      && (isProtobuf(object) || JSON.stringify(withoutVersion(before.manifest)) === JSON.stringify(stored));
    if (same) return { change: { object: key, operation: 'unchanged' }, step: undefined };
    return { change: { object: key, operation: held.length === 0 ? 'created' : 'configured' }, step: this.#step(object, stored, held, conditions) };
  }

  /** Where the object stands already, else where its kind belongs; whatever else claims it goes. */
  #step(object: DesiredObject, manifest: unknown, held: readonly KeyValue[], conditions: readonly Condition[]): Step {
    const { keys, host } = this.options;
    const name = nameOf(object);
    const at = keys.manifest(name, host);
    let key = at;
    let value: Uint8Array = Buffer.from(JSON.stringify(manifest));
    if (isProtobuf(object) && (value.length > this.#requestBytes || !(held.some((each) => each.key === at) && held.length === 1))) {
      key = object.kind === 'RuleTable' ? keys.table(name.name, host) : keys.set(name.name, host);
      const previous = held.find((each) => each.key === key)?.value;
      value = object.kind === 'RuleTable' ? this.#codec.writeTable(object, previous) : this.#codec.writeSet(object, previous);
      if (object.kind === 'AddressSet' && value.length > this.#requestBytes) return this.#inParts(object, key, held, conditions);
    }
    if (value.length > this.#requestBytes) throw new AgentError('E_LIMIT', `is ${value.length} bytes; etcd takes ${this.#requestBytes} at once`, { object: objectKey(object) });
    return { object: objectKey(object), conditions, writes: [{ key, value }, ...held.filter((each) => each.key !== key).map((each): Write => ({ key: each.key, value: undefined }))] };
  }

  #inParts(set: AddressSetObject, head: string, held: readonly KeyValue[], conditions: readonly Condition[]): Step {
    const { keys, host } = this.options;
    const object = objectKey(set);
    const previous = held.find(({ key }) => key === head)?.value;
    const split = splitSet(set, Math.floor(this.#requestBytes * PART), this.#codec, previous);
    const parts = split.parts.map(({ name, value }: SetPart) => ({ key: keys.setPart(set.metadata.name, name, host), value }));
    const other = parts.find(({ key, value }) => held.some((each) => each.key === key && Buffer.compare(each.value, value) !== 0));
    if (other !== undefined) throw new AgentError('E_CONFLICT', `${other.key} is not what its name says. Delete the set first`, { object });
    const wanted = new Set([head, ...parts.map(({ key }) => key)]);
    const before = { head, parts, ...(previous === undefined ? {} : this.#pinned(set, previous, held)) };
    const step: Step = { object, conditions, writes: [{ key: head, value: split.head }, ...held.filter(({ key }) => !wanted.has(key)).map(({ key }): Write => ({ key, value: undefined }))], before };
    const keysOf = new Set([...conditions, ...before.parts].map(({ key }) => key));
    if (keysOf.size > OPERATIONS) throw new AgentError('E_LIMIT', `has ${keysOf.size} keys, old and new; etcd takes ${OPERATIONS} at once. Delete it first, or write fewer parts`, { object });
    return step;
  }

  /** While the set takes in whatever parts there are, none may be put beside it. */
  #pinned({ metadata: { name } }: AddressSetObject, standing: Uint8Array, held: readonly KeyValue[]): { readonly pinned?: Uint8Array } {
    try {
      if (this.#codec.readSet(standing, name).parts !== undefined) return {};
      const { keys, host } = this.options;
      const parts = held.flatMap(({ key }) => {
        const place = keys.parse(key, host);
        return place.form === 'addressset' && place.part !== undefined ? [place.part] : [];
      });
      return { pinned: this.#codec.withParts(standing, name, parts) };
    } catch (error) {
      throw new AgentError('E_CONFLICT', `what stands there cannot be read (${describeError(error)}), and the new one is too large to take its place at once. Delete it first`, { object: `AddressSet/${name}`, cause: error });
    }
  }

  async #standing(names: readonly ObjectName[], signal: AbortSignal): Promise<Standing[]> {
    const standing: Standing[] = [];
    for (let from = 0; from < names.length; from += READS_AT_ONCE) {
      standing.push(...await Promise.all(names.slice(from, from + READS_AT_ONCE).map(async (name): Promise<Standing> => {
        const places = this.#placesOf(name);
        const held: KeyValue[] = [];
        for (const range of places.ranges) held.push(...await this.#all(range, signal));
        // What is not there must not come into being either.
        const conditions = [...held.map(({ key, modRevision }) => ({ key, revision: modRevision })), ...places.keys.filter((key) => held.every((each) => each.key !== key)).map((key) => ({ key, revision: 0 }))];
        return { name, held, conditions };
      })));
    }
    return standing;
  }

  #placesOf(name: ObjectName): { readonly keys: readonly string[]; readonly ranges: readonly KeyRange[] } {
    const { keys, host } = this.options;
    const places = [keys.manifest(name, host)];
    if (name.kind === 'RuleTable') places.push(keys.table(name.name, host));
    if (name.kind === 'AddressSet') places.push(keys.set(name.name, host));
    return { keys: places, ranges: [...places.map(onlyKey), ...(name.kind === 'AddressSet' ? [keys.setParts(name.name, host)] : [])] };
  }

  async #commit(steps: readonly Step[], signal: AbortSignal): Promise<void> {
    let done = 0;
    for (const batch of batches(steps, this.#requestBytes)) {
      await this.#write(await Promise.all(batch.map(async (step) => this.#prepared(step, done, signal))), done, signal);
      done += batch.length;
    }
  }

  /** Its parts are written; what the rest asks is as they left it. */
  async #prepared(step: Step, done: number, signal: AbortSignal): Promise<Step> {
    const { object, conditions, writes, before } = step;
    if (before === undefined) return step;
    const { head, pinned, parts } = before;
    const known = new Map(conditions.map((condition): [string, Condition] => [condition.key, condition]));
    const write = async (key: string, value: Uint8Array, asked: readonly Condition[]): Promise<void> => {
      known.set(key, { key, revision: await this.#write([{ object, conditions: asked, writes: [{ key, value }] }], done, signal) });
    };
    if (pinned !== undefined) await write(head, pinned, conditions);
    for (const { key, value } of parts) {
      const standing = known.get(head);
      if (!known.has(key)) await write(key, value, [...(standing === undefined ? [] : [standing]), { key, revision: 0 }]);
    }
    return { object, conditions: [...known.values()], writes };
  }

  /** In one request; the revision that the first of them has now. @throws AgentError E_CONFLICT. */
  async #write(batch: readonly Step[], done: number, signal: AbortSignal): Promise<number> {
    const { client } = this.options;
    const answer = await client.commit(batch.flatMap(({ conditions }) => conditions), batch.flatMap(({ writes }) => writes), signal);
    if (answer.done) return answer.at.revision;
    if (!(await this.#isWritten(batch, signal))) throw await this.#conflict(batch, done, signal);
    const first = batch[0]?.writes[0];
    const now = first === undefined ? undefined : (await client.range({ range: onlyKey(first.key) }, signal)).found[0];
    return now?.modRevision ?? 0;
  }

  /** The answer to an earlier attempt may have been lost. */
  async #isWritten(batch: readonly Step[], signal: AbortSignal): Promise<boolean> {
    for (const { writes } of batch) {
      for (const { key, value } of writes) {
        const { found: [now] } = await this.options.client.range({ range: onlyKey(key) }, signal);
        if (value === undefined ? now !== undefined : now === undefined || Buffer.compare(now.value, value) !== 0) return false;
      }
    }
    return true;
  }

  async #conflict(batch: readonly Step[], done: number, signal: AbortSignal): Promise<AgentError> {
    const before = done === 0 ? 'nothing was written' : `${done} objects before it were written, it and those after it were not`;
    for (const { object, conditions } of batch) {
      for (const condition of conditions) {
        const { found: [now] } = await this.options.client.range({ range: onlyKey(condition.key) }, signal);
        const expected = 'revision' in condition ? condition.revision : 0;
        if ((now?.modRevision ?? 0) !== expected) {
          const what = now === undefined ? 'was deleted' : expected === 0 ? 'was created' : `was changed (revision ${expected}, now ${now.modRevision})`;
          return new AgentError('E_CONFLICT', `${what} by somebody else at this moment; ${before}. Look at it and try again`, { object, retryable: true });
        }
      }
    }
    return new AgentError('E_CONFLICT', `somebody else changed something at this moment; ${before}`, { retryable: true });
  }

  async #all({ from, to }: KeyRange, signal: AbortSignal): Promise<KeyValue[]> {
    const all: KeyValue[] = [];
    let revision: number | undefined;
    for (let next = from; ; ) {
      const answer = await this.options.client.range({ range: { from: next, to }, limit: PAGE, ...(revision === undefined ? {} : { revision }) }, signal);
      revision ??= answer.at.revision;
      all.push(...answer.found);
      const last = answer.found.at(-1);
      if (!answer.more || last === undefined) return all;
      next = `${last.key}\0`;
    }
  }

  async #objectsOf(found: readonly KeyValue[]): Promise<{ objects: StoredObject[]; refused: Refused[] }> {
    const { keys, host } = this.options;
    const table = new ObjectTable();
    const revisions = new Map<string, number>();
    const changes = await Promise.all(found.map(async ({ key, value, modRevision }) => {
      const place = keys.parse(key, host);
      if (place.form === 'none' || place.form === 'workload' || place.form === 'agent') return { key, place: { path: '', message: place.form === 'none' ? place.reason : 'is no object' }, verdict: { refused: { path: '', message: '' } } };
      revisions.set(place.object, Math.max(modRevision, revisions.get(place.object) ?? 0));
      return { key, place: place satisfies ObjectPlace, verdict: await this.#reader.read(place, value) };
    }));
    table.apply(changes);
    const { objects, manifests, errors } = table.snapshot;
    return {
      objects: [...objects].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([key, object]) => ({ object, manifest: withVersion(manifests.get(key), revisions.get(key) ?? 0) })),
      refused: errors.map(({ object, path, message }) => ({ object: shown(object), path, message })),
    };
  }
}

function* batches(steps: readonly Step[], most: number): Generator<Step[]> {
  let batch: Step[] = [];
  let conditions = 0;
  let writes = 0;
  let bytes = 0;
  for (const step of steps) {
    if (step.before !== undefined) {
      if (batch.length > 0) yield batch;
      yield [step];
      [batch, conditions, writes, bytes] = [[], 0, 0, 0];
      continue;
    }
    const size = step.writes.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0) + 32, 0);
    if (batch.length > 0 && (conditions + step.conditions.length > OPERATIONS || writes + step.writes.length > OPERATIONS || bytes + size > most)) {
      yield batch;
      [batch, conditions, writes, bytes] = [[], 0, 0, 0];
    }
    batch.push(step);
    conditions += step.conditions.length;
    writes += step.writes.length;
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Sets have no order. */
function isSame(a: DesiredObject, b: DesiredObject): boolean {
  if (a.kind !== 'AddressSet' || b.kind !== 'AddressSet') return JSON.stringify(a) === JSON.stringify(b);
  if (JSON.stringify({ ...a, addresses: [] }) !== JSON.stringify({ ...b, addresses: [] })) return false;
  const members = new Set(a.addresses);
  return members.size === new Set(b.addresses).size && b.addresses.every((member) => members.has(member));
}

function isProtobuf(object: DesiredObject): object is Extract<DesiredObject, { kind: 'RuleTable' | 'AddressSet' }> {
  return object.kind === 'RuleTable' || object.kind === 'AddressSet';
}

function nameOf({ kind, metadata: { namespace, name } }: DesiredObject): ObjectName {
  return { kind, name, ...(namespace === undefined ? {} : { namespace }) };
}

function objectName({ kind, namespace, name }: ObjectName): string {
  return objectKey({ kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });
}

function resourceVersion(manifest: unknown): string | undefined {
  const version = fieldsOf(fieldsOf(manifest)?.['metadata'])?.['resourceVersion'];
  return typeof version === 'string' && version !== '' ? version : typeof version === 'number' ? String(version) : undefined;
}

function withVersion(manifest: unknown, revision: number): unknown {
  const fields = fieldsOf(manifest);
  return fields === undefined ? manifest : { ...fields, metadata: { ...fieldsOf(fields['metadata']), resourceVersion: String(revision) } };
}

/** What is stored: the version is etcd's to know, and the status of a policy nobody's desire. */
function withoutVersion(manifest: unknown): unknown {
  const fields = fieldsOf(manifest);
  if (fields === undefined) return manifest;
  const { resourceVersion: _, ...metadata } = fieldsOf(fields['metadata']) ?? {};
  const kind = KINDS.find(({ written }) => written === fields['kind'])?.kind ?? '';
  const { status, ...rest } = fields;
  return { ...rest, metadata, ...(status === undefined || Object.hasOwn(POLICY_KINDS, kind) ? {} : { status }) };
}
