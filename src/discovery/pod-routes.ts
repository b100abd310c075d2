/**
 * Attachments of this node's pods, found by the kernel's routes, neighbours and forwarding tables: a source of desired state behind the others. For
 * pods that no Attachment of another source names. What was found is kept in the state directory: a restarted agent has the filters of pods that
 * are silent.
 */
import { describeError } from '../model/errors.js';
import type { AttachmentObject, DesiredObject } from '../model/objects.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { FoundObjects, type DiscoverySnapshot } from './found-objects.js';
import { KeptText, type TextStore } from './kept-text.js';
import { placePods, type HostLink, type HostView, type LocalPod, type Placed, type PodNeighbour, type PodPlace, type PodPort, type PodWay } from './pod-places.js';
import { sleep } from '../platform/sleep.js';

/** The kernel, as far as it is needed here (native/binding.ts, RouteSocket and LinkSocket). */
export interface RouteReader {
  lookup(addresses: readonly string[]): Promise<readonly PodWay[]>;
  neighbours(addresses: readonly string[]): Promise<readonly PodNeighbour[]>;
  forwarding(macs: readonly string[]): Promise<readonly PodPort[]>;
  links(): Promise<readonly HostLink[]>;
  monitor(listener: (what: 'routes' | 'neighbours' | 'links') => void): void;
  close(): void;
}

/** A source in front of this one. */
export interface DeclaringSource {
  readonly synced: boolean;
  snapshot(): { readonly objects: ReadonlyMap<string, DesiredObject> };
  onChange(listener: () => void): () => void;
}

export interface PodRoutesOptions {
  /** Name of this node, as pods have it (spec.nodeName). */
  readonly node: string;
  readonly reader: RouteReader;
  readonly sources: readonly DeclaringSource[];
  readonly store: TextStore;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Changes of routes and links come in groups; neighbours change all the time. */
const SETTLE_MS = 5;
const NEIGHBOURS_MS = 200;
const AGAIN_MS = 1_000;

interface Seen {
  readonly pods: readonly LocalPod[];
  /** "namespace/name" that have an Attachment, and interfaces that have one. */
  readonly attached: ReadonlySet<string>;
  readonly claimed: ReadonlySet<string>;
}

export class PodRoutes {
  readonly type = 'routes';
  private readonly found = new FoundObjects();
  private readonly kept: KeptText;
  private readonly indexes = new WeakMap<ReadonlyMap<string, DesiredObject>, Seen>();
  private placed: Placed = { places: [], problems: [] };
  private failure: string | undefined;
  private known: readonly { readonly objects: ReadonlyMap<string, DesiredObject>; readonly synced: boolean }[] = [];
  private looking: Promise<void> | undefined;
  private again = false;
  private cancel: (() => void) | undefined;
  private due = Number.POSITIVE_INFINITY;
  private readonly ending = new AbortController();
  private readonly unsubscribe: (() => void)[] = [];

  constructor(private readonly options: PodRoutesOptions) {
    const { store, clock, log } = options;
    this.kept = new KeptText({ store, clock, log, what: 'pods', text: () => storedText(this.placed.places) });
  }

  get synced(): boolean {
    return this.found.synced;
  }

  /** Pods without a filter, and what else is not as it should be. */
  get problems(): readonly string[] {
    return [...this.placed.problems, ...(this.failure === undefined ? [] : [this.failure]), ...(this.kept.problem === undefined ? [] : [this.kept.problem])];
  }

  /**
   * To be called when the sources in front have started. Resolves when the pods that they name were looked for once: who applies before that would let
   * go of filters that pods have. A signal ends the waiting. Twice does nothing more.
   */
  async start(signal: AbortSignal): Promise<void> {
    if (this.unsubscribe.length > 0) return;
    const { sources, reader } = this.options;
    this.placed = { ...this.placed, places: this.kept.load(readStored) ?? [] };
    this.unsubscribe.push(...sources.map((source) => source.onChange(() => this.sourceChanged())));
    reader.monitor((what) => this.lookIn(what === 'neighbours' ? NEIGHBOURS_MS : SETTLE_MS));
    while (!signal.aborted && !this.ending.signal.aborted) {
      await this.look();
      if (this.synced) break;
      await sleep(this.options.clock, AGAIN_MS, this.ending.signal);
    }
  }

  /** Resolves when what is known is stored, or could not be. */
  async stop(): Promise<void> {
    this.ending.abort();
    this.cancel?.();
    for (const end of this.unsubscribe) end();
    this.options.reader.close();
    await this.looking;
    await this.kept.stop();
  }

  snapshot(): DiscoverySnapshot {
    return this.found.snapshot();
  }

  /** Resolves when all that the kernel has now is in the snapshot. */
  async sync(_signal: AbortSignal): Promise<void> {
    // One that runs may have begun before the change.
    await this.looking;
    await this.look();
  }

  onChange(listener: () => void): () => void {
    return this.found.onChange(listener);
  }

  /** What a declared Attachment names, it has: at once, as the kernel need not be asked. */
  private sourceChanged(): void {
    if (!this.synced || !this.sourcesChanged()) return;
    if (this.publish()) this.found.tell();
    this.lookIn(0);
  }

  /** Since the last time: most changes of a cluster are about others. */
  private sourcesChanged(): boolean {
    const now = this.options.sources.map((source) => ({ objects: source.snapshot().objects, synced: source.synced }));
    const same = now.length === this.known.length && now.every(({ objects, synced }, index) => objects === this.known[index]?.objects && synced === this.known[index].synced);
    this.known = now;
    return !same;
  }

  private lookIn(ms: number): void {
    if (this.ending.signal.aborted || !this.synced) return;
    const { clock } = this.options;
    const at = clock.monotonic() + ms;
    if (at >= this.due) return;
    this.cancel?.();
    this.due = at;
    this.cancel = clock.after(ms, () => {
      this.due = Number.POSITIVE_INFINITY;
      this.cancel = undefined;
      void this.look();
    });
  }

  /** One at a time; what is asked for meanwhile is one more. */
  private async look(): Promise<void> {
    if (this.looking !== undefined) {
      this.again = true;
      await this.looking;
      return;
    }
    this.looking = this.lookAgain().finally(() => {
      this.looking = undefined;
    });
    await this.looking;
  }

  private async lookAgain(): Promise<void> {
    do {
      this.again = false;
      await this.lookNow();
    } while (this.again && !this.ending.signal.aborted);
  }

  private async lookNow(): Promise<void> {
    const pods = this.wanted();
    try {
      const view = await this.view(pods);
      if (this.ending.signal.aborted) return;
      this.placed = placePods(pods, view, this.placed.places);
      this.failure = undefined;
    } catch (error) {
      if (this.ending.signal.aborted) return;
      // What cannot be told stays as it was.
      this.failure = `the routes of this host cannot be read: ${describeError(error)}`;
      this.options.log.warn('discovery.routes_unread', { error: describeError(error) });
      this.lookIn(AGAIN_MS);
      return;
    }
    const first = !this.synced;
    if (!this.publish()) return;
    if (!first) this.options.log.info('discovery.pods', { attachments: this.found.snapshot().objects.size, problems: this.placed.problems.length });
    this.found.tell();
  }

  private async view(pods: readonly LocalPod[]): Promise<HostView> {
    const { reader } = this.options;
    const addresses = [...new Set(pods.flatMap((pod) => pod.addresses))];
    if (addresses.length === 0) return { ways: new Map(), neighbours: [], ports: [], links: [] };
    const [ways, neighbours, links] = await Promise.all([reader.lookup(addresses), reader.neighbours(addresses), reader.links()]);
    const bridges = new Set(links.filter(({ kind }) => kind === 'bridge').map(({ index }) => index));
    const macs = [...new Set(neighbours.filter(({ interfaceIndex }) => bridges.has(interfaceIndex)).map(({ mac }) => mac))];
    const ports = macs.length === 0 ? [] : await reader.forwarding(macs);
    return { ways: new Map(addresses.flatMap((address, index) => { const way = ways[index]; return way === undefined ? [] : [[address, way]]; })), neighbours, ports, links };
  }

  /** Pods of this node that nobody declares an Attachment of. While a source cannot tell yet, those that were found before are still there. */
  private wanted(): readonly LocalPod[] {
    const seen = this.seen();
    const attached = new Set(seen.flatMap((each) => [...each.attached]));
    const known = new Set<string>();
    const pods: LocalPod[] = [];
    for (const { pods: local } of seen) {
      for (const pod of local) {
        const key = `${pod.namespace}/${pod.name}`;
        // Of two sources the earlier one's object is in force.
        if (known.has(key)) continue;
        known.add(key);
        if (!attached.has(key)) pods.push(pod);
      }
    }
    if (this.options.sources.every((source) => source.synced)) return pods;
    return [...pods, ...this.placed.places.filter(({ namespace, name }) => !known.has(`${namespace}/${name}`) && !attached.has(`${namespace}/${name}`))];
  }

  private publish(): boolean {
    const wanted = new Set(this.wanted().map(({ namespace, name }) => `${namespace}/${name}`));
    const claimed = new Set(this.seen().flatMap((each) => [...each.claimed]));
    const places = this.placed.places.filter((place) => wanted.has(`${place.namespace}/${place.name}`) && !claimed.has(place.interface));
    const changed = this.found.publish(places.map(attachmentOf));
    this.kept.save();
    return changed;
  }

  private seen(): readonly Seen[] {
    return this.options.sources.map((source) => {
      const { objects } = source.snapshot();
      const known = this.indexes.get(objects);
      if (known !== undefined) return known;
      const index = this.indexOf(objects);
      this.indexes.set(objects, index);
      return index;
    });
  }

  private indexOf(objects: ReadonlyMap<string, DesiredObject>): Seen {
    const pods: LocalPod[] = [];
    const attached = new Set<string>();
    const claimed = new Set<string>();
    for (const object of objects.values()) {
      if (object.kind === 'Attachment') {
        claimed.add(object.interface);
        const { kind, namespace, name } = object.workload;
        if (kind === 'Pod') attached.add(`${namespace ?? 'default'}/${name}`);
      } else if (object.kind === 'Pod' && object.nodeName === this.options.node && object.hostNetwork !== true && object.addresses.length > 0) {
        pods.push({ namespace: object.metadata.namespace ?? 'default', name: object.metadata.name, addresses: object.addresses });
      }
    }
    return { pods, attached, claimed };
  }
}

/** Named by the pod: one that comes back under its name has its filter's number again. No namespace has a dot. Addresses are those of the Pod object. */
function attachmentOf({ namespace, name, interface: device, mac }: PodPlace): AttachmentObject {
  return {
    kind: 'Attachment', metadata: { name: `pod-${namespace}.${name}`, labels: {} }, workload: { kind: 'Pod', namespace, name }, vnic: 'eth0', interface: device,
    ...(mac === undefined ? {} : { mac }), addresses: [],
  };
}

/** Of the form of the file. Another number = another version's, not read. */
const FORM = 1;

const storedText = (places: readonly PodPlace[]): string => `${JSON.stringify({ form: FORM, places })}\n`;

/** Throws when it is no JSON or of another form. Written by ourselves: entries need no second check beyond their shape. */
function readStored(text: string): readonly PodPlace[] {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('form' in value) || value.form !== FORM || !('places' in value)) throw new Error('another form');
  const { places } = value;
  if (!Array.isArray(places) || !places.every(isPlace)) throw new Error('damaged');
  return places;
}

function isPlace(value: unknown): value is PodPlace {
  return typeof value === 'object' && value !== null && ['namespace', 'name', 'interface', 'interfaceMac'].every((field) => typeof Reflect.get(value, field) === 'string')
    && typeof Reflect.get(value, 'interfaceIndex') === 'number' && Array.isArray(Reflect.get(value, 'addresses'));
}
