/**
 * Addresses of workloads that declare none, learned from what they send and from what DHCP servers give them. A source of desired state that
 * completes what the others hold: Attachments, and the objects of their workloads, with the addresses in them.
 *
 * What is learned is in the state directory before it is given out, so that a restart at any moment takes nothing away.
 */
import { AgentError, describeError } from '../../model/errors.js';
import { objectKey, type DesiredObject } from '../../model/objects.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { KeptText, type TextStore } from '../kept-text.js';
import { BindingTable, type BindingLimits, type LearningMode, type Outcome } from './binding-table.js';
import { completedMachine, findObject, learningVnics, type LearningVnic } from './learning-vnics.js';
import { bindingRows, type BindingRow } from './binding-rows.js';
import type { LearnedBy } from './sighting.js';
import { sightingOf, type SeenFrame } from './sightings.js';
import { readStored, storedText } from './stored-bindings.js';

/** Frames of the interfaces that learn, as far as the datapath copies them. */
export interface FrameReader {
  /** Throws what it cannot do. */
  start(use: (frames: readonly SeenFrame[]) => void): void;
  stop(): void;
}

/** Who declares an address. */
export interface AddressOwners {
  /** Differs when answers may. */
  revision(): number;
  /** Somebody else than the workload with that key, as people name him; undefined: nobody. */
  ownerOf(address: string, workloadKey: string): string | undefined;
  /**
   * The same of what other hosts tell. It keeps an address from being learned, and takes none away that is: else two hosts that learned one at the
   * same time would both give it up, hear of that, and take it again.
   */
  elsewhere(address: string, workloadKey: string): string | undefined;
}

export interface LearnedAddressesOptions {
  readonly mode: LearningMode | 'off';
  readonly methods: ReadonlySet<LearnedBy>;
  readonly limits: BindingLimits;
  /** DHCP servers whose answers count, by address; undefined: whichever may reach the workload. */
  readonly isServer: ((address: string) => boolean) | undefined;
  readonly reader: FrameReader;
  /** Attachments, virtual machines, and pods of this node, of the other sources, those that win first. Called often; the same maps while nothing changed. */
  readonly objects: () => readonly ReadonlyMap<string, DesiredObject>[];
  /** What other hosts say of their workloads, learned addresses included. As `objects`. */
  readonly published: () => ReadonlyMap<string, DesiredObject>;
  readonly owners: AddressOwners;
  readonly store: TextStore;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Snapshot {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, unknown>;
  readonly errors: readonly never[];
  readonly revision: number;
}

/** A clock that was set is noticed after this long; and who could not read is tried again. */
const LOOK_AGAIN_MS = 30_000;
const READ_AGAIN_MS = 5_000;

export class LearnedAddresses {
  readonly type = 'addresses';
  readonly overlay = true;
  /** Frames that said something, by what. */
  readonly sightings: Record<LearnedBy, number> = { arp: 0, nd: 0, dhcp: 0, dhcpv6: 0 };
  private readonly table: BindingTable;
  private readonly kept: KeptText;
  private readonly listeners = new Set<() => void>();
  private vnics: readonly LearningVnic[] = [];
  private byInterface: ReadonlyMap<string, LearningVnic> = new Map();
  private byAttachment: ReadonlyMap<string, LearningVnic> = new Map();
  private seen: readonly ReadonlyMap<string, DesiredObject>[] = [];
  /** Bound addresses that are stored, with their vNICs: no others are given out. */
  private stored: ReadonlySet<string> = new Set();
  private made: { readonly stored: ReadonlySet<string>; readonly table: number; readonly objects: readonly ReadonlyMap<string, DesiredObject>[]; readonly published: ReadonlyMap<string, DesiredObject>; readonly owners: number } | undefined;
  private current: Snapshot = { objects: new Map(), manifests: new Map(), errors: [], revision: 0 };
  private dirty = false;
  private storing: Promise<void> | undefined;
  private cancelTimer = (): void => undefined;
  private reading = false;
  private unread: string | undefined;
  private stopped = false;

  constructor(private readonly options: LearnedAddressesOptions) {
    const { store, clock, log } = options;
    this.table = new BindingTable(options.limits);
    this.kept = new KeptText({ store, clock, log, what: 'learned addresses', text: () => storedText(this.table) });
  }

  get synced(): boolean {
    return this.current.revision > 0;
  }

  get problems(): readonly string[] {
    const conflicts = this.rows().flatMap(({ state, attachment, address, owner }) => (state === 'conflict' ? [`Attachment/${attachment}: ${address} is not learned: ${owner} has it`] : []));
    return [...(this.unread === undefined ? [] : [this.unread]), ...(this.kept.problem === undefined ? [] : [this.kept.problem]), ...conflicts];
  }

  /** When the others have started. Twice does nothing more. @throws AgentError E_IO when what is stored cannot be read: to begin without it would trust anew. */
  start(_signal: AbortSignal): Promise<void> {
    if (this.synced) return Promise.resolve();
    return new Promise((resolve) => {
      this.load();
      this.current = { ...this.current, revision: 1 };
      this.follow();
      this.stored = this.bound();
      this.make();
      this.schedule();
      resolve();
    });
  }

  /** Resolves when what is known is stored, or could not be. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelTimer();
    if (this.reading) this.options.reader.stop();
    this.reading = false;
    await this.storing;
    await this.kept.stop();
  }

  snapshot(): Snapshot {
    if (this.synced) this.make();
    return this.current;
  }

  /** What is learned comes by itself; resolves when all of it is given out. */
  async sync(_signal: AbortSignal): Promise<void> {
    await this.storing;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Are addresses learned of the vNIC with this Attachment? Then all that it has are learned ones. */
  learns(attachment: string): boolean {
    return this.byAttachment.has(attachment);
  }

  /** By Attachment, then address. */
  rows(attachment?: string): readonly BindingRow[] {
    const vnics = attachment === undefined ? this.vnics : this.vnics.filter((vnic) => vnic.attachment === attachment);
    return bindingRows(vnics, this.table, (address, key) => this.options.owners.ownerOf(address, key), (key) => this.workloadKeyOf(key));
  }

  /** Resolves when it is given out. @throws AgentError E_NOT_FOUND: it does not wait there; E_CONFLICT: somebody else has it. */
  async approve(attachment: string, address: string): Promise<BindingRow> {
    const vnic = this.vnicOf(attachment);
    const owner = this.takenBy(vnic, address) ?? this.rivalOf(vnic, address);
    if (owner !== undefined) throw new AgentError('E_CONFLICT', `${owner} has it`, { object: address });
    if (!this.table.approve(vnic.key, address)) throw new AgentError('E_NOT_FOUND', `no such address waits at Attachment/${attachment}`, { object: address });
    this.options.log.warn('addresses.approved', { attachment, address });
    await this.changed();
    const row = this.rows(attachment).find((each) => each.address === address);
    if (row === undefined) throw new AgentError('E_NOT_FOUND', 'it was released meanwhile', { object: address });
    return row;
  }

  /** Forgets an address, or all of the vNIC; those that it forgot. Resolves when that is given out. @throws AgentError E_NOT_FOUND: there is none. */
  async release(attachment: string, address?: string): Promise<readonly BindingRow[]> {
    const vnic = this.vnicOf(attachment);
    const rows = this.rows(attachment).filter((each) => each.state !== 'conflict' && (address === undefined || each.address === address));
    if (this.table.release(vnic.key, address) === 0) throw new AgentError('E_NOT_FOUND', `Attachment/${attachment} has no such learned address`, { object: address ?? attachment });
    this.options.log.warn('addresses.released', { attachment, addresses: rows.map((row) => row.address) });
    await this.changed();
    return rows;
  }

  private vnicOf(attachment: string): LearningVnic {
    const vnic = this.byAttachment.get(attachment);
    if (vnic === undefined) throw new AgentError('E_NOT_FOUND', 'no addresses are learned of it: it declares some, or learning is off', { object: `Attachment/${attachment}` });
    return vnic;
  }

  private takenBy({ workloadKey }: LearningVnic, address: string): string | undefined {
    const { owners } = this.options;
    return owners.ownerOf(address, workloadKey) ?? owners.elsewhere(address, workloadKey);
  }

  private rivalOf({ key }: LearningVnic, address: string): string | undefined {
    const other = this.table.ownerOf(address);
    return other === undefined || other === key ? undefined : this.workloadKeyOf(other);
  }

  private workloadKeyOf(key: string): string {
    return this.vnics.find((vnic) => vnic.key === key)?.workloadKey ?? key;
  }

  private take(frames: readonly SeenFrame[]): void {
    this.follow();
    const { clock, methods, isServer, log } = this.options;
    const now = clock.now();
    let changed = false;
    for (const frame of frames) {
      const vnic = this.byInterface.get(frame.interface);
      const sighting = vnic === undefined ? undefined : sightingOf(frame);
      if (vnic === undefined || sighting === undefined || !methods.has(sighting.by)) continue;
      // Who pretends to be somebody else says nothing of himself.
      if (sighting.kind !== 'answer' && vnic.mac !== '' && sighting.mac !== '' && sighting.mac !== vnic.mac) continue;
      if (sighting.kind === 'answer' && isServer?.(sighting.server) === false) continue;
      if (sighting.kind !== 'question') this.sightings[sighting.by] += 1;
      const outcome: Outcome = this.table.see(vnic.key, sighting, now, (address) => this.takenBy(vnic, address));
      if (outcome !== 'changed' && outcome !== 'noted') continue;
      changed = true;
      log.debug('addresses.seen', { attachment: vnic.attachment, by: sighting.by, outcome });
    }
    if (changed) void this.changed();
  }

  /** Brings the vNICs up to date; costs nothing while nothing changed. */
  private follow(): void {
    const objects = this.options.objects();
    if (objects.length === this.seen.length && objects.every((each, index) => each === this.seen[index])) return;
    this.seen = objects;
    this.vnics = learningVnics(objects, this.options.mode);
    this.byInterface = new Map(this.vnics.map((vnic) => [vnic.interface, vnic]));
    this.byAttachment = new Map(this.vnics.map((vnic) => [vnic.attachment, vnic]));
    this.table.follow(new Map(this.vnics.map(({ key, mode }) => [key, mode])), this.options.clock.now());
    this.read();
  }

  private bound(): ReadonlySet<string> {
    return new Set([...this.table.keys()].flatMap((key) => this.table.bindings(key).flatMap(({ state, address }) => (state === 'bound' ? [`${key} ${address}`] : []))));
  }

  /** Resolves when what is known now is stored, or cannot be, and is given out. */
  private changed(): Promise<void> {
    this.dirty = true;
    this.storing ??= this.put().finally(() => {
      this.storing = undefined;
    });
    return this.storing;
  }

  private async put(): Promise<void> {
    while (this.dirty && !this.stopped) {
      const bound = this.bound();
      this.dirty = false;
      // A disk that refuses costs survival of a restart, and is said.
      await this.kept.flush();
      this.stored = bound;
      this.schedule();
      for (const listener of this.listeners) listener();
    }
  }

  private make(): void {
    this.follow();
    const { stored, seen, made } = this;
    const published = this.options.published();
    // Nobody is asked who declares what while nothing is learned.
    const owners = this.vnics.length === 0 ? -1 : this.options.owners.revision();
    const { revision } = this.table;
    if (made?.stored === stored && made.table === revision && made.objects === seen && made.published === published && made.owners === owners) return;
    this.made = { stored, table: revision, objects: seen, published, owners };
    const objects = this.completed(published);
    const { current } = this;
    const same = objects.size === current.objects.size && [...objects].every(([key, object]) => JSON.stringify(current.objects.get(key)) === JSON.stringify(object));
    if (!same) this.current = { ...current, objects, revision: current.revision + 1 };
  }

  private completed(published: ReadonlyMap<string, DesiredObject>): ReadonlyMap<string, DesiredObject> {
    const completed = new Map<string, DesiredObject>();
    const machines = new Map<string, Map<string, readonly string[]>>();
    const know = (workloadKey: string, vnic: string, addresses: readonly string[]): void => {
      const known = machines.get(workloadKey) ?? new Map<string, readonly string[]>();
      if (!known.has(vnic)) known.set(vnic, addresses);
      machines.set(workloadKey, known);
    };
    for (const { key, attachmentKey, workloadKey, vnic } of this.vnics) {
      const addresses = this.table.addressesOf(key).filter((address) => this.stored.has(`${key} ${address}`) && this.options.owners.ownerOf(address, workloadKey) === undefined);
      const attachment = findObject(this.seen, attachmentKey);
      // What is attached here is known here, be it nothing.
      know(workloadKey, vnic, addresses);
      if (addresses.length === 0 || attachment?.kind !== 'Attachment') continue;
      completed.set(attachmentKey, { ...attachment, addresses });
      const pod = findObject(this.seen, workloadKey);
      if (pod?.kind === 'Pod') completed.set(workloadKey, { ...pod, addresses });
    }
    for (const [key, object] of published) {
      if (object.kind === 'VirtualMachine') for (const nic of object.nics) if (nic.addresses.length > 0) know(key, nic.name, nic.addresses);
    }
    for (const [key, known] of machines) {
      const machine = findObject(this.seen, key);
      if (machine?.kind !== 'VirtualMachine') continue;
      const more = completedMachine(machine, known);
      if (more !== machine) completed.set(objectKey(more), more);
    }
    return completed;
  }

  private read(): void {
    if (this.reading || this.stopped || !this.synced || this.vnics.length === 0) return;
    try {
      this.options.reader.start((frames) => this.take(frames));
      this.reading = true;
      this.unread = undefined;
    } catch (error) {
      if (this.unread === undefined) this.options.log.warn('addresses.unread', { error: describeError(error) });
      this.unread = `addresses are not learned: ${describeError(error)}`;
    }
  }

  private schedule(): void {
    this.cancelTimer();
    if (this.stopped) return;
    const { clock } = this.options;
    const wait = Math.min(Math.max(0, this.table.nextEnd() - clock.now()), this.unread === undefined ? LOOK_AGAIN_MS : READ_AGAIN_MS);
    this.cancelTimer = clock.after(wait, () => {
      this.read();
      const outcome = this.table.expire(clock.now());
      if (outcome === 'changed' || outcome === 'noted') void this.changed();
      else this.schedule();
    });
  }

  private load(): void {
    const text = this.kept.load((each) => each);
    if (this.kept.problem !== undefined) throw new AgentError('E_IO', this.kept.problem, { object: 'addresses.json' });
    if (text === undefined) return;
    for (const { key, bindings } of readStored(text)) this.table.restore(key, bindings, this.options.clock.now());
  }
}
