/**
 * Address sets in use: each is the union of parts, kept up to date at the cost of what changed. Sets are shared by everybody who
 * asks for the same parts, and forgotten when the last user lets go.
 */
import type { LabelSelector } from '../../model/metadata.js';
import type { PodObject } from '../../model/objects.js';
import type { Labels } from '../../model/selector.js';
import { hash32 } from '../../model/text-hash.js';
import { AddressBag, type BagSnapshot } from './address-bag.js';
import type { MemberSelector } from './ir.js';
import { memberSelectorKey } from './selector-key.js';
import { namespaceOf, podMatches, type InventoryKind, type Population } from './population.js';
import { ScopeIndex, type Scope } from './scope-index.js';

type PodSelector = Extract<MemberSelector, { of: 'pods' }>;

/** A port that a pod names. */
export interface NamedPort {
  readonly name: string;
  /** Absent = whatever protocol the pod's port has. */
  readonly protocol?: number;
}

/** What members are computed from: objects of a kind, or names in DNS. */
export type MemberOrigin = InventoryKind | 'DNS';

export type Part =
  /** `port`: only pods that give the name this protocol and number. */
  | { readonly pods: PodSelector; readonly port?: { readonly name: string; readonly protocol: number; readonly number: number } }
  /** Pods of all namespaces that pass a test. */
  | { readonly podsWhere: (pod: PodObject, namespaceLabels: Labels) => boolean; readonly text: string }
  /** Computed anew when an object of one of these kinds changes. */
  | { readonly computed: () => Iterable<string>; readonly dependsOn: readonly MemberOrigin[]; readonly text: string }
  | { readonly addresses: readonly string[] };

/** What a set is made of and called. `key` is equal for equal content. */
export interface SetDefinition {
  readonly key: string;
  readonly name: string;
  readonly parts: readonly Part[];
}

export class MemberSet {
  readonly bag = new AddressBag();
  users = 0;

  constructor(readonly definition: SetDefinition) {}

  get name(): string {
    return this.definition.name;
  }

  get current(): BagSnapshot {
    return this.bag.snapshot();
  }
}

/** The numbers that pods give a named port. */
export class PortNumbers {
  private readonly counts = new Map<string, number>();
  /** Grows whenever a number comes or goes. */
  version = 0;
  users = 0;

  constructor(readonly key: string, readonly selector: PodSelector, readonly port: NamedPort) {}

  /** Ascending. */
  get numbers(): { readonly protocol: number; readonly number: number }[] {
    return [...this.counts.keys()].map((text) => {
      const [protocol = 0, number = 0] = text.split(' ').map(Number);
      return { protocol, number };
    }).sort((a, b) => a.protocol - b.protocol || a.number - b.number);
  }

  change(pod: PodObject, by: 1 | -1): void {
    if (pod.addresses.length === 0) return;
    for (const { protocol, port } of namedPorts(pod, this.port)) {
      const key = `${protocol} ${port}`;
      const count = (this.counts.get(key) ?? 0) + by;
      if (count <= 0) this.counts.delete(key);
      else this.counts.set(key, count);
      if (count === 0 || (by === 1 && count === 1)) this.version += 1;
    }
  }
}

export function namedPorts(pod: Pick<PodObject, 'ports'>, wanted: NamedPort): { readonly protocol: number; readonly port: number }[] {
  return pod.ports.filter(({ name, protocol }) => name === wanted.name && (wanted.protocol === undefined || wanted.protocol === protocol));
}

/** One listener of pods: a part of a set, or port numbers. */
interface PodListener {
  readonly scope: Scope;
  readonly selector: LabelSelector | undefined;
  accepts(pod: PodObject, namespaceLabels: Labels): boolean;
  change(pod: PodObject, by: 1 | -1): void;
}

export class MemberSets {
  private readonly sets = new Map<string, { set: MemberSet; listeners: PodListener[]; computed: Computed[] }>();
  private readonly ports = new Map<string, { numbers: PortNumbers; listener: PodListener }>();
  private readonly index = new ScopeIndex<PodListener>();
  private readonly byKind = new Map<MemberOrigin, Set<Computed>>();
  private touched = false;

  constructor(private readonly population: Population) {}

  /** Whether any set or port may have changed since the last call. */
  takeTouched(): boolean {
    const { touched } = this;
    this.touched = false;
    return touched;
  }

  acquire(definition: SetDefinition): MemberSet {
    const known = this.sets.get(definition.key);
    if (known !== undefined) {
      known.set.users += 1;
      return known.set;
    }
    const set = new MemberSet(definition);
    const entry = { set, listeners: [] as PodListener[], computed: [] as Computed[] };
    this.sets.set(definition.key, entry);
    set.users = 1;
    for (const part of definition.parts) this.start(part, entry);
    return set;
  }

  release(set: MemberSet): void {
    set.users -= 1;
    const entry = this.sets.get(set.definition.key);
    if (set.users > 0 || entry === undefined) return;
    this.sets.delete(set.definition.key);
    for (const listener of entry.listeners) this.index.delete(listener.scope, listener);
    for (const computed of entry.computed) for (const kind of computed.dependsOn) this.byKind.get(kind)?.delete(computed);
  }

  acquirePorts(selector: PodSelector, selectorText: string, port: NamedPort): PortNumbers {
    const key = `${selectorText} ${port.protocol ?? '*'} ${port.name}`;
    const known = this.ports.get(key);
    if (known !== undefined) {
      known.numbers.users += 1;
      return known.numbers;
    }
    const numbers = new PortNumbers(key, selector, port);
    numbers.users = 1;
    const listener: PodListener = {
      scope: selector, selector: selector.podSelector, accepts: (pod) => podMatches(selector, pod), change: (pod, by) => numbers.change(pod, by),
    };
    this.ports.set(key, { numbers, listener });
    this.listen(listener, selector);
    return numbers;
  }

  releasePorts(numbers: PortNumbers): void {
    numbers.users -= 1;
    const entry = this.ports.get(numbers.key);
    if (numbers.users > 0 || entry === undefined) return;
    this.ports.delete(numbers.key);
    this.index.delete(entry.listener.scope, entry.listener);
  }

  /** `before` and `after` of one pod, under its namespace's labels then and now. Absent = did not or does not exist. */
  podChanged(before: PodObject | undefined, after: PodObject | undefined, labelsBefore: Labels, labelsAfter: Labels): void {
    if (before !== undefined) this.tell(before, labelsBefore, -1);
    if (after !== undefined) this.tell(after, labelsAfter, 1);
  }

  originsChanged(kinds: ReadonlySet<MemberOrigin>): void {
    const dirty = new Set<Computed>();
    for (const kind of kinds) for (const computed of this.byKind.get(kind) ?? []) dirty.add(computed);
    for (const computed of dirty) computed.refresh();
    this.touched ||= dirty.size > 0;
  }

  private tell(pod: PodObject, namespaceLabels: Labels, by: 1 | -1): void {
    this.index.match(namespaceOf(pod), namespaceLabels, pod.metadata.labels, (listener) => {
      if (!listener.accepts(pod, namespaceLabels)) return;
      this.touched = true;
      listener.change(pod, by);
    });
  }

  private start(part: Part, entry: { set: MemberSet; listeners: PodListener[]; computed: Computed[] }): void {
    const { bag } = entry.set;
    if ('addresses' in part) {
      for (const address of part.addresses) bag.add(address);
    } else if ('computed' in part) {
      const computed = new Computed(bag, part.computed, part.dependsOn);
      entry.computed.push(computed);
      for (const kind of part.dependsOn) {
        const list = this.byKind.get(kind) ?? new Set();
        this.byKind.set(kind, list.add(computed));
      }
      computed.refresh();
    } else {
      const listener = podListener(part, bag);
      entry.listeners.push(listener);
      this.listen(listener, 'pods' in part ? part.pods : { of: 'pods' });
    }
  }

  private listen(listener: PodListener, selector: PodSelector): void {
    this.index.add(listener.scope, listener.selector, listener);
    for (const pod of this.population.selectPods(selector)) {
      if (listener.accepts(pod, this.population.namespaceLabels(namespaceOf(pod)))) listener.change(pod, 1);
    }
  }
}

/** Addresses that some function gives; the difference to the last time goes into the bag. */
class Computed {
  private last: readonly string[] = [];

  constructor(private readonly bag: AddressBag, private readonly compute: () => Iterable<string>, readonly dependsOn: readonly MemberOrigin[]) {}

  refresh(): void {
    const now = [...this.compute()];
    for (const address of now) this.bag.add(address);
    for (const address of this.last) this.bag.remove(address);
    this.last = now;
  }
}

function podListener(part: Extract<Part, { pods: PodSelector } | { podsWhere: unknown }>, bag: AddressBag): PodListener {
  const change = (pod: PodObject, by: 1 | -1): void => {
    for (const address of pod.addresses) {
      if (by === 1) bag.add(address);
      else bag.remove(address);
    }
  };
  if ('podsWhere' in part) {
    return { scope: {}, selector: undefined, accepts: (pod, labels) => pod.hostNetwork !== true && part.podsWhere(pod, labels), change };
  }
  const { pods, port } = part;
  return {
    scope: pods, selector: pods.podSelector, change,
    accepts: (pod) => podMatches(pods, pod) && (port === undefined || namedPorts(pod, port).some((own) => own.port === port.number && own.protocol === port.protocol)),
  };
}

/** A name for listings: what can be read of the key, and a hash that makes it unique. */
export function readableName(key: string): string {
  const readable = key.replace(/[^A-Za-z0-9._:-]+/g, '.').replace(/^[^A-Za-z0-9]+|\.+$/g, '').slice(0, 60);
  return `${readable === '' ? 'set' : readable}-${hash32(key).toString(16).padStart(8, '0')}`;
}

/** Equal for parts of equal content. */
export function partKey(part: Part): string {
  if ('addresses' in part) return `addresses ${part.addresses.length > 32 ? `${part.addresses.length} ${hash32(part.addresses.join())}` : part.addresses.join()}`;
  if ('pods' in part) return `${memberSelectorKey(part.pods)}${part.port === undefined ? '' : ` port ${part.port.name}=${part.port.protocol}:${part.port.number}`}`;
  return part.text;
}
