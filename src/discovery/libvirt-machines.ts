/**
 * Virtual machines of libvirt on this host, and Attachments of their interfaces, by the domain status files: a source of desired state behind those
 * that declare. A file that cannot be read leaves what it said before, which is kept in the state directory; one that is gone takes its machine with it.
 */
import { AgentError, describeError, isAgentError } from '../model/errors.js';
import type { AttachmentObject, DesiredObject, VirtualMachineObject } from '../model/objects.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { FoundObjects, type DiscoverySnapshot, type FoundObject, type RefusedDocument } from './found-objects.js';
import { KeptText, type TextStore } from './kept-text.js';
import { parseDomain, type Domain, type DomainNic } from './libvirt-domain.js';
import type { DomainFiles } from './libvirt-files.js';

export interface LibvirtMachinesOptions {
  readonly files: DomainFiles;
  /** Objects of sources that declare, those that win first. Called often; the same maps while nothing changed. */
  readonly declared: () => readonly ReadonlyMap<string, DesiredObject>[];
  readonly store: TextStore;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Status files are rewritten several times while a machine starts. */
const SETTLE_MS = 20;
const AGAIN_MS = 5_000;

interface KnownFile {
  readonly version: string;
  /** The last good one. */
  readonly domain?: Domain;
  readonly refused?: RefusedDocument;
}

/** Of the declared objects: what decides about found ones. */
interface Declared {
  readonly byUuid: ReadonlyMap<string, string>;
  readonly machines: ReadonlyMap<string, VirtualMachineObject>;
  readonly claimed: ReadonlySet<string>;
}

/** Device types that a datapath sees: a macvtap (direct) goes past it. */
const FILTERED_TYPES: ReadonlySet<string> = new Set(['bridge', 'network', 'ethernet', 'server', 'client', 'mcast', 'internal']);

export class LibvirtMachines {
  readonly type = 'libvirt';
  private readonly found = new FoundObjects();
  private readonly kept: KeptText;
  private files: ReadonlyMap<string, KnownFile> = new Map();
  private unreadable: string | undefined;
  private bound: readonly string[] = [];
  private seen: { readonly files: ReadonlyMap<string, KnownFile>; readonly declared: readonly ReadonlyMap<string, DesiredObject>[] } | undefined;
  private readonly indexes = new WeakMap<ReadonlyMap<string, DesiredObject>, Declared>();
  private reading: Promise<void> = Promise.resolve();
  private cancel: (() => void) | undefined;
  private due = Number.POSITIVE_INFINITY;
  private endWatch: (() => void) | undefined;
  private stopped = false;

  constructor(private readonly options: LibvirtMachinesOptions) {
    const { store, clock, log } = options;
    this.kept = new KeptText({ store, clock, log, what: 'virtual machines', text: () => storedText(this.files) });
  }

  get synced(): boolean {
    return this.found.synced;
  }

  /** Interfaces without a filter, and what else is not as it should be. Refused files are errors of the snapshot. */
  get problems(): readonly string[] {
    return [...this.bound, ...(this.unreadable === undefined ? [] : [this.unreadable]), ...(this.kept.problem === undefined ? [] : [this.kept.problem])];
  }

  /** Resolves after the first reading. A directory that is not there yet is no error. Twice does nothing more. */
  async start(_signal: AbortSignal): Promise<void> {
    if (this.synced) return;
    this.files = this.kept.load(readStored) ?? new Map<string, KnownFile>();
    await this.readSoon();
    this.lookIn(AGAIN_MS);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel?.();
    this.endWatch?.();
    await this.reading;
    await this.kept.stop();
  }

  snapshot(): DiscoverySnapshot {
    if (this.synced) this.refresh();
    return this.found.snapshot();
  }

  async sync(_signal: AbortSignal): Promise<void> {
    await this.readSoon();
  }

  onChange(listener: () => void): () => void {
    return this.found.onChange(listener);
  }

  private lookIn(ms: number): void {
    const { clock } = this.options;
    const at = clock.monotonic() + ms;
    if (this.stopped || at >= this.due) return;
    this.cancel?.();
    this.due = at;
    this.cancel = clock.after(ms, () => {
      this.due = Number.POSITIVE_INFINITY;
      this.cancel = undefined;
      void this.readSoon().then(() => this.lookIn(AGAIN_MS));
    });
  }

  /** One reading after the other; never rejects. */
  private readSoon(): Promise<void> {
    this.reading = this.reading.then(() => this.read());
    return this.reading;
  }

  private async read(): Promise<void> {
    if (this.stopped) return;
    const { files, log } = this.options;
    // First, so that what changes while it is read is seen.
    this.endWatch ??= files.watch(() => this.lookIn(SETTLE_MS), () => {
      this.endWatch = undefined;
      this.lookIn(SETTLE_MS);
    });
    try {
      const versions = await files.list();
      // Where libvirt never was, there is nothing; where it was, machines may run on.
      if (versions === undefined && this.files.size > 0) throw new Error('their directory is gone');
      this.files = await this.readFiles(versions ?? new Map<string, string>());
      this.kept.save();
      this.unreadable = undefined;
    } catch (error) {
      // What cannot be told stays as it was.
      this.unreadable = `libvirt's status files cannot be read: ${describeError(error)}`;
      log.warn('discovery.libvirt_unread', { error: describeError(error) });
    }
    const first = !this.synced;
    if (!this.refresh()) return;
    if (!first) log.info('discovery.machines', { files: this.files.size, problems: this.bound.length });
    this.found.tell();
  }

  private async readFiles(versions: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, KnownFile>> {
    const next = new Map<string, KnownFile>();
    let changed = versions.size !== this.files.size;
    for (const [name, version] of versions) {
      const known = this.files.get(name);
      const file = known?.version === version ? known : await this.readFile(name, version, known);
      if (file === undefined) continue;
      changed ||= file !== known;
      next.set(name, file);
    }
    return changed ? next : this.files;
  }

  private async readFile(name: string, version: string, known: KnownFile | undefined): Promise<KnownFile | undefined> {
    try {
      const text = await this.options.files.read(name);
      return text === undefined ? undefined : { version, domain: parseDomain(text) };
    } catch (error) {
      const refused = { object: name, path: isAgentError(error) ? (error.path ?? '') : '', message: error instanceof AgentError ? error.message : describeError(error) };
      this.options.log.warn('discovery.refused', { ...refused });
      // One that could not be opened is tried again.
      return { version: isAgentError(error) ? version : '', ...(known?.domain === undefined ? {} : { domain: known.domain }), refused };
    }
  }

  /** Costs nothing while neither files nor other sources changed. */
  private refresh(): boolean {
    const declared = this.options.declared();
    const { files, seen } = this;
    if (seen?.files === files && seen.declared.length === declared.length && declared.every((objects, index) => objects === seen.declared[index])) return false;
    this.seen = { files, declared };
    const { objects, problems } = bindDomains([...files.values()].flatMap(({ domain }) => domain ?? []), declared.map((each) => this.indexOf(each)));
    this.bound = problems;
    return this.found.publish(objects, [...files.values()].flatMap(({ refused }) => refused ?? []));
  }

  private indexOf(objects: ReadonlyMap<string, DesiredObject>): Declared {
    const known = this.indexes.get(objects);
    if (known !== undefined) return known;
    const machines = [...objects.values()].flatMap((object) => (object.kind === 'VirtualMachine' ? [object] : []));
    const index = {
      machines: new Map(machines.map((machine) => [machine.metadata.name, machine])),
      byUuid: new Map(machines.flatMap(({ uuid, metadata: { name } }) => (uuid === undefined ? [] : [[uuid.toLowerCase(), name]]))),
      claimed: new Set([...objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [object.interface] : []))),
    };
    this.indexes.set(objects, index);
    return index;
  }
}

interface Bound {
  readonly objects: readonly FoundObject[];
  readonly problems: readonly string[];
}

/** A machine that is declared, by its uuid or, without one, by its name, keeps its object; an interface that a declared Attachment names is that one's. */
function bindDomains(domains: readonly Domain[], sources: readonly Declared[]): Bound {
  const objects: FoundObject[] = [];
  const problems: string[] = [];
  const names = new Set<string>();
  for (const domain of domains) {
    const machine = machineOf(domain, sources);
    if (machine === 'another') {
      problems.push(`virtual machine ${domain.name} of libvirt has no filter: VirtualMachine/${domain.name} has another spec.uuid than ${domain.uuid}`);
      continue;
    }
    // libvirt itself has each name once; files of a machine that was renamed may be there twice for a moment.
    if (names.has(domain.name)) continue;
    names.add(domain.name);
    if (machine === undefined) objects.push(machineObject(domain));
    for (const nic of domain.nics) {
      const { device, type } = nic;
      if (device === undefined || sources.some(({ claimed }) => claimed.has(device))) continue;
      if (!FILTERED_TYPES.has(type)) {
        problems.push(`interface ${device} of virtual machine ${domain.name} has no filter: type ${type} goes past the datapath`);
        continue;
      }
      objects.push(attachmentObject(domain, nic, device, machine));
    }
  }
  return { objects, problems };
}

/** The declared machine that the domain is; undefined: there is none; 'another': there is one of its name that it is not. */
function machineOf({ name, uuid }: Domain, sources: readonly Declared[]): VirtualMachineObject | 'another' | undefined {
  for (const { byUuid, machines } of sources) {
    const found = byUuid.get(uuid);
    const machine = found === undefined ? undefined : machines.get(found);
    if (machine !== undefined) return machine;
  }
  const named = sources.map(({ machines }) => machines.get(name)).find((machine) => machine !== undefined);
  return named?.uuid === undefined ? named : 'another';
}

function machineObject({ name, uuid, tags, nics }: Domain): VirtualMachineObject {
  const segment = nics.find((nic) => nic.segment !== undefined)?.segment;
  return {
    kind: 'VirtualMachine', metadata: { name, labels: tags }, uuid, ...(segment === undefined ? {} : { segment }),
    nics: nics.map(({ vnic, mac, addresses }) => ({ name: vnic, ...(mac === undefined ? {} : { mac }), addresses })),
  };
}

/** Of a declared machine, its vNIC is the one with the same MAC address. */
function attachmentObject(domain: Domain, { vnic, mac, addresses }: DomainNic, device: string, machine: VirtualMachineObject | undefined): AttachmentObject {
  const declared = mac === undefined ? undefined : machine?.nics.find((nic) => nic.mac === mac);
  return {
    kind: 'Attachment', metadata: { name: `libvirt-${domain.name}.${vnic}`, labels: {} }, workload: { kind: 'VirtualMachine', name: machine?.metadata.name ?? domain.name },
    vnic: declared?.name ?? vnic, interface: device, ...(mac === undefined ? {} : { mac }), addresses: declared === undefined ? addresses : [],
  };
}

/** Of the form of the file. Another number = another version's, not read. */
const FORM = 1;

function storedText(files: ReadonlyMap<string, KnownFile>): string {
  return `${JSON.stringify({ form: FORM, domains: Object.fromEntries([...files].flatMap(([name, { domain }]) => (domain === undefined ? [] : [[name, domain]]))) })}\n`;
}

/** Throws when it is no JSON or of another form. Written by ourselves: entries need no second check beyond their shape. */
function readStored(text: string): ReadonlyMap<string, KnownFile> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('form' in value) || value.form !== FORM || !('domains' in value)) throw new Error('another form');
  const { domains } = value;
  if (typeof domains !== 'object' || domains === null) throw new Error('damaged');
  return new Map(Object.entries(domains).map(([name, domain]): [string, KnownFile] => {
    if (!isDomain(domain)) throw new Error('damaged');
    return [name, { version: '', domain }];
  }));
}

function isDomain(value: unknown): value is Domain {
  return typeof value === 'object' && value !== null && ['name', 'uuid'].every((field) => typeof Reflect.get(value, field) === 'string')
    && typeof Reflect.get(value, 'tags') === 'object' && Array.isArray(Reflect.get(value, 'nics'));
}
