/**
 * This host as a Node object, where no Kubernetes says what nodes there are: groups hold its address, node selectors find it by its labels. A source
 * behind those that declare. Without configured addresses it has those from which this host sends to far away (its default routes, one address
 * of each family): what bridges and containers of the host have is no address of a node.
 */
import { describeError } from '../model/errors.js';
import type { NodeObject } from '../model/objects.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { FoundObjects, type DiscoverySnapshot } from './found-objects.js';
import { KeptText, type TextStore } from './kept-text.js';

export interface OwnNodeOptions {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Canonical; [] = looked up. */
  readonly addresses: readonly string[];
  /** The address from which this host sends to far away; undefined: it has no way there. Rejects when that cannot be told. */
  readonly source: (family: 4 | 6) => Promise<string | undefined>;
  readonly close: () => void;
  readonly store: TextStore;
  readonly clock: Clock;
  readonly log: Logger;
}

const INTERVAL_MS = 5_000;
/** A route that is away for less (a link that flaps, an address that is leased again) takes no address from groups. */
const AWAY_MS = 60_000;
const FAMILIES = [4, 6] as const;

export class OwnNode {
  readonly type = 'node';
  private readonly found = new FoundObjects();
  private readonly kept: KeptText;
  private addresses: Partial<Record<4 | 6, string>> = {};
  /** When the family was last known to have a way, monotonic. */
  private readonly seenAt = new Map<4 | 6, number>();
  private unknown: string | undefined;
  private looking: Promise<void> = Promise.resolve();
  private cancel: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly options: OwnNodeOptions) {
    const { store, clock, log } = options;
    this.kept = new KeptText({ store, clock, log, what: 'addresses of this node', text: () => JSON.stringify(this.addresses) });
  }

  get synced(): boolean {
    return this.found.synced;
  }

  get problems(): readonly string[] {
    const { name, addresses } = this.options;
    if (addresses.length > 0) return [];
    return [
      ...(this.unknown === undefined ? [] : [`addresses of this node cannot be told, they stay as they were: ${this.unknown}`]),
      ...(this.synced && Object.keys(this.addresses).length === 0 ? [`node ${name} has no address: this host has no default route; name its addresses in discovery.node.addresses`] : []),
      ...(this.kept.problem === undefined ? [] : [this.kept.problem]),
    ];
  }

  /** Resolves after the first look. Twice does nothing more. */
  async start(_signal: AbortSignal): Promise<void> {
    if (this.synced) return;
    if (this.options.addresses.length === 0) {
      this.addresses = this.kept.load(stored) ?? {};
      for (const family of FAMILIES) if (this.addresses[family] !== undefined) this.seenAt.set(family, this.options.clock.monotonic());
      await this.look();
      this.lookLater();
    } else this.publish();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel?.();
    await this.looking;
    await this.kept.stop();
    this.options.close();
  }

  snapshot(): DiscoverySnapshot {
    return this.found.snapshot();
  }

  async sync(_signal: AbortSignal): Promise<void> {
    if (this.options.addresses.length === 0) await this.look();
  }

  onChange(listener: () => void): () => void {
    return this.found.onChange(listener);
  }

  private lookLater(): void {
    if (this.stopped) return;
    this.cancel = this.options.clock.after(INTERVAL_MS, () => void this.look().then(() => this.lookLater()));
  }

  /** One look after the other; never rejects. */
  private look(): Promise<void> {
    this.looking = this.looking.then(async () => {
      const { source, clock, log } = this.options;
      const next = { ...this.addresses };
      try {
        for (const family of FAMILIES) {
          const address = await source(family);
          if (address !== undefined) {
            next[family] = address;
            this.seenAt.set(family, clock.monotonic());
          } else if (clock.monotonic() - (this.seenAt.get(family) ?? Number.NEGATIVE_INFINITY) >= AWAY_MS) delete next[family];
        }
        this.unknown = undefined;
      } catch (error) {
        if (this.unknown === undefined) log.warn('discovery.node_unreadable', { error: describeError(error) });
        this.unknown = describeError(error);
        for (const family of this.seenAt.keys()) this.seenAt.set(family, clock.monotonic());
      }
      this.addresses = next;
      this.publish();
      this.kept.save();
    });
    return this.looking;
  }

  private publish(): void {
    const { name, labels, addresses } = this.options;
    const node: NodeObject = {
      kind: 'Node', metadata: { name, labels },
      addresses: addresses.length > 0 ? addresses : FAMILIES.flatMap((family) => this.addresses[family] ?? []),
    };
    if (this.found.publish([node])) this.found.tell();
  }
}

function stored(text: string): Partial<Record<4 | 6, string>> {
  const value = JSON.parse(text) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(FAMILIES.flatMap((family) => (typeof value[family] === 'string' ? [[family, value[family]]] : [])));
}
