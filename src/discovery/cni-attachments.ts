/**
 * Attachments of pods whose container runtime told of them through the CNI plugin: a source of desired state behind those that declare. Kept in the
 * state directory before the plugin gets its answer: a restarted agent has them. One ends with the runtime's word, or when its interface has been gone
 * for a while.
 */
import { AgentError, describeError } from '../model/errors.js';
import type { AttachmentObject, DesiredObject } from '../model/objects.js';
import { hash32 } from '../model/text-hash.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { FoundObjects, type DiscoverySnapshot } from './found-objects.js';
import { KeptText, type TextStore } from './kept-text.js';

/** One interface of one container. */
export interface CniContainer {
  readonly network: string;
  readonly containerId: string;
  readonly vnic: string;
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Of the host. */
  readonly interface: string;
  readonly mac?: string;
  /** Canonical hosts. */
  readonly addresses: readonly string[];
}
export type CniContainerKey = Pick<CniContainer, 'network' | 'containerId' | 'vnic'>;

export interface CniAttachmentsOptions {
  readonly store: TextStore;
  /** Objects of sources that declare. Called often; the same maps while nothing changed. */
  readonly declared: () => readonly ReadonlyMap<string, DesiredObject>[];
  /** Names of the host's interfaces. */
  readonly interfaces: () => Promise<ReadonlySet<string>>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A runtime says when a container ends; the rest is for hosts that were switched off, and runtimes that forget. */
const GONE_MS = 10_000;
const LOOK_MS = 1_000;

export class CniAttachments {
  readonly type = 'cni';
  private readonly found = new FoundObjects();
  private readonly kept: KeptText;
  private readonly claims = new WeakMap<ReadonlyMap<string, DesiredObject>, ReadonlySet<string>>();
  private containers: readonly CniContainer[] = [];
  private seen: { readonly containers: readonly CniContainer[]; readonly declared: readonly ReadonlyMap<string, DesiredObject>[] } | undefined;
  /** When interfaces were first seen to be gone (monotonic). */
  private readonly goneSince = new Map<string, number>();
  private cancel: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly options: CniAttachmentsOptions) {
    const { store, clock, log } = options;
    this.kept = new KeptText({ store, clock, log, what: 'containers', text: () => storedText(this.containers) });
  }

  get synced(): boolean {
    return this.found.synced;
  }

  get problems(): readonly string[] {
    return this.kept.problem === undefined ? [] : [this.kept.problem];
  }

  /** Begins with what was stored. Twice does nothing more. */
  async start(_signal: AbortSignal): Promise<void> {
    if (this.synced) return Promise.resolve();
    this.containers = this.kept.load(readStored) ?? [];
    this.refresh();
    this.lookLater();
    return Promise.resolve();
  }

  /** Resolves when what is known is stored, or could not be. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel?.();
    this.cancel = undefined;
    await this.kept.stop();
  }

  snapshot(): DiscoverySnapshot {
    if (this.synced) this.refresh();
    return this.found.snapshot();
  }

  /** The runtime tells by itself; nothing is waited for. */
  async sync(_signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  onChange(listener: () => void): () => void {
    return this.found.onChange(listener);
  }

  /**
   * The container's Attachment is in the next snapshot; resolves when it is stored. It takes the place of what was said of the same interface of the
   * container, or of the same interface of the host, before. @throws AgentError E_IO when it cannot be stored: a restart would open what it closes.
   */
  async add(container: CniContainer): Promise<void> {
    this.goneSince.delete(container.interface);
    const others = this.containers.filter((each) => !isSame(each, container) && each.interface !== container.interface);
    this.change([...others, container]);
    if (!(await this.kept.flush())) throw new AgentError('E_IO', this.kept.problem ?? 'it cannot be stored', { object: nameOf(container), retryable: true });
  }

  get(key: CniContainerKey): CniContainer | undefined {
    return this.containers.find((each) => isSame(each, key));
  }

  /** False when there was none. */
  remove(key: CniContainerKey): boolean {
    return this.keepOnly((each) => !isSame(each, key)) > 0;
  }

  /** Lets go of the network's containers that are not among these. Returns how many that were. */
  collect(network: string, valid: readonly CniContainerKey[]): number {
    return this.keepOnly((each) => each.network !== network || valid.some((key) => isSame(each, key)));
  }

  /** Name of the container's Attachment: by its interface, which no other has. */
  static attachmentName({ interface: device }: Pick<CniContainer, 'interface'>): string {
    const plain = device.replaceAll(/[^A-Za-z0-9._:-]/g, '_');
    return plain === device ? `cni-${plain}` : `cni-${plain}-${hash32(device).toString(16)}`;
  }

  /** Interfaces came or went. */
  linksChanged(): void {
    if (this.synced) this.lookLater();
  }

  private keepOnly(keeps: (container: CniContainer) => boolean): number {
    const kept = this.containers.filter(keeps);
    const gone = this.containers.length - kept.length;
    if (gone > 0) {
      this.change(kept);
      this.kept.save();
    }
    return gone;
  }

  private change(containers: readonly CniContainer[]): void {
    this.containers = containers;
    if (this.refresh()) this.found.tell();
  }

  /** Costs nothing while neither containers nor other sources changed. An interface that a declared Attachment names is that one's. */
  private refresh(): boolean {
    const declared = this.options.declared();
    const { containers, seen } = this;
    if (seen?.containers === containers && seen.declared.length === declared.length && declared.every((objects, index) => objects === seen.declared[index])) return false;
    this.seen = { containers, declared };
    const claimed = declared.map((objects) => this.claimsOf(objects));
    return this.found.publish(containers.filter((each) => !claimed.some((names) => names.has(each.interface))).map(attachmentOf));
  }

  private claimsOf(objects: ReadonlyMap<string, DesiredObject>): ReadonlySet<string> {
    const known = this.claims.get(objects);
    if (known !== undefined) return known;
    const claims = new Set([...objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [object.interface] : [])));
    this.claims.set(objects, claims);
    return claims;
  }

  private lookLater(): void {
    if (this.stopped || this.cancel !== undefined || this.containers.length === 0) return;
    this.cancel = this.options.clock.after(LOOK_MS, () => {
      this.cancel = undefined;
      void this.look();
    });
  }

  private async look(): Promise<void> {
    const { clock, log } = this.options;
    let present: ReadonlySet<string>;
    try {
      present = await this.options.interfaces();
    } catch (error) {
      log.warn('discovery.links_unread', { error: describeError(error) });
      this.lookLater();
      return;
    }
    const now = clock.monotonic();
    const mentioned = new Set(this.containers.map((each) => each.interface));
    for (const name of this.goneSince.keys()) if (present.has(name) || !mentioned.has(name)) this.goneSince.delete(name);
    for (const name of mentioned) if (!present.has(name) && !this.goneSince.has(name)) this.goneSince.set(name, now);
    const gone = this.keepOnly((each) => now - (this.goneSince.get(each.interface) ?? now) < GONE_MS);
    if (gone > 0) log.info('discovery.containers_gone', { containers: gone });
    for (const name of this.goneSince.keys()) if (!this.containers.some((each) => each.interface === name)) this.goneSince.delete(name);
    if (this.goneSince.size > 0) this.lookLater();
  }
}

const isSame = (a: CniContainerKey, b: CniContainerKey): boolean => a.containerId === b.containerId && a.vnic === b.vnic && a.network === b.network;
const nameOf = ({ pod: { namespace, name } }: CniContainer): string => `Pod/${namespace}/${name}`;

/** Its addresses are those that the runtime was told: the Pod object has them later. */
function attachmentOf(container: CniContainer): AttachmentObject {
  const { pod, vnic, interface: device, mac, addresses } = container;
  return {
    kind: 'Attachment', metadata: { name: CniAttachments.attachmentName(container), labels: {} }, workload: { kind: 'Pod', namespace: pod.namespace, name: pod.name },
    vnic, interface: device, ...(mac === undefined ? {} : { mac }), addresses, early: true,
  };
}

/** Of the form of the file. Another number = another version's, not read. */
const FORM = 1;

const storedText = (containers: readonly CniContainer[]): string => `${JSON.stringify({ form: FORM, containers })}\n`;

/** Throws when it is no JSON or of another form. Written by ourselves: entries need no second check beyond their shape. */
function readStored(text: string): readonly CniContainer[] {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('form' in value) || value.form !== FORM || !('containers' in value)) throw new Error('another form');
  const { containers } = value;
  if (!Array.isArray(containers) || !containers.every(isContainer)) throw new Error('damaged');
  return containers;
}

function isContainer(value: unknown): value is CniContainer {
  return typeof value === 'object' && value !== null && ['network', 'containerId', 'vnic', 'interface'].every((field) => typeof Reflect.get(value, field) === 'string')
    && typeof Reflect.get(value, 'pod') === 'object' && Reflect.get(value, 'pod') !== null && Array.isArray(Reflect.get(value, 'addresses'));
}
