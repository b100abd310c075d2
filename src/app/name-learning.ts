/**
 * Domain names in rules: what DNS replies to workloads say becomes the addresses of the names, here and after a restart. Which
 * workloads' replies are looked at, and which names are kept, follows from the rules in force.
 */
import { BlockList, isIP } from 'node:net';
import type { NameAnswer } from '../dns/reply.js';
import { matchesPattern } from '../dns/pattern.js';
import { nameAnswer, normalName } from '../dns/reply.js';
import { NameCache, type CachedName } from '../dns/name-cache.js';
import { ReplyPackets } from '../dns/reply-packets.js';
import type { Problem } from '../compile/problem.js';
import { compareText } from '../compile/world.js';
import { describeError } from '../model/errors.js';
import type { FqdnAddressView } from '../model/views.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { NumberStore } from './stored-numbers.js';
import type { HeldReplies } from './held-replies.js';
import type { ReplyReader, ReplyWatch, SeenReply } from './reply-watch.js';

export interface NameLearningOptions {
  readonly watch: ReplyWatch;
  readonly reader: ReplyReader;
  readonly store: NumberStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly minTtlSeconds: number;
  /** Addresses and prefixes of the servers whose answers count; empty: anybody's that the workload asked. */
  readonly servers: readonly string[];
  /** Absent: replies are not held back. */
  readonly held: HeldReplies | undefined;
  /** The addresses of some names changed. Resolves when that is in force. */
  readonly realize: () => Promise<void>;
}

/** Names in rules, and the interfaces of the filters that have such rules. */
export interface NamesInForce {
  readonly patterns: ReadonlySet<string>;
  readonly interfaces: readonly string[];
}

const SAVE_DELAY_MS = 1_000;

export class NameLearning {
  private readonly cache: NameCache;
  private readonly packets = new ReplyPackets();
  private readonly servers = new BlockList();
  private interfaces: readonly string[] = [];
  /** What the datapath was made to show; undefined: to be compared with it. */
  private inForce: string | undefined;
  private patterns = '';
  /** The last change of names that is not in force yet. */
  private realizing: Promise<void> | undefined;
  private generation = -1;
  private reading = false;
  private unsaved = false;
  private cancelSave: (() => void) | undefined;
  private saving: Promise<void> = Promise.resolve();

  constructor(private readonly options: NameLearningOptions) {
    this.cache = new NameCache({ clock: options.clock, minTtlSeconds: options.minTtlSeconds, onExpired: () => this.changed() });
    for (const server of options.servers) {
      const [address = '', length] = server.split('/');
      this.servers.addSubnet(address, Number(length ?? (isIP(address) === 4 ? 32 : 128)), familyOf(address));
    }
  }

  get size(): number {
    return this.cache.size;
  }

  addressesOf(pattern: string): Iterable<string> {
    return this.cache.addressesOf(pattern);
  }

  /** By name, then address; those that the pattern matches, or all. */
  entries(pattern?: string): FqdnAddressView[] {
    const wanted = pattern === undefined ? undefined : normalName(pattern);
    return this.cache.snapshot().filter(({ name }) => wanted === undefined || matchesPattern(wanted, name))
      .flatMap(({ name, addresses }) => addresses.map(({ address, expiresMs }) => ({ fqdn: name, address, expiration: new Date(expiresMs).toISOString() })))
      .sort((a, b) => (a.fqdn === b.fqdn ? compareText(a.address, b.address) : compareText(a.fqdn, b.fqdn)));
  }

  /** Before the first apply: what names allowed before a restart they allow after it. */
  load(): void {
    try {
      const stored: unknown = JSON.parse(this.options.store.read() ?? '[]');
      this.cache.restore(Array.isArray(stored) ? stored.filter(isCachedName) : []);
    } catch (error) {
      this.options.log.error('dns.unreadable', { error: describeError(error) });
    }
  }

  /** Follows the rules. A datapath that could not be made to show replies is a problem, and is tried again with the next apply. */
  async apply({ patterns, interfaces }: NamesInForce): Promise<{ readonly changed: boolean; readonly problem?: Problem }> {
    const wanted = [...patterns].sort();
    if (wanted.join(' ') !== this.patterns) {
      this.patterns = wanted.join(' ');
      this.cache.want(wanted);
    }
    this.interfaces = [...interfaces].sort();
    try {
      const text = this.interfaces.length === 0 ? '' : `${this.interfaces.join(' ')} ${this.options.watch.key(this.interfaces)}`;
      if (text === this.inForce) return { changed: false };
      if (interfaces.length > 0) this.startReading();
      const changed = await this.options.watch.apply(this.interfaces);
      this.inForce = text;
      await this.options.held?.follow(this.interfaces);
      return { changed };
    } catch (error) {
      this.inForce = undefined;
      const message = `answers of DNS servers are not seen: ${describeError(error)}`;
      this.options.log.warn('dns.failed', { error: message });
      return { changed: false, problem: { object: this.options.watch.object, path: '', message } };
    }
  }

  /** Looks only after somebody committed something. */
  async drifted(): Promise<string | undefined> {
    if (this.inForce === undefined) return undefined;
    const generation = await this.options.watch.generation();
    if (generation === this.generation) return undefined;
    this.generation = generation;
    if (!(await this.options.watch.differs(this.interfaces))) return undefined;
    this.inForce = undefined;
    return `what ${this.options.watch.object} shows of DNS replies differs`;
  }

  /** What was removed. */
  cleanup(): Promise<string[]> {
    return this.options.watch.cleanup();
  }

  /** What shows replies stays: nobody reads it, and all replies pass. */
  async stop(): Promise<void> {
    await this.options.held?.stop();
    if (this.reading) this.options.reader.stop();
    this.reading = false;
    this.cache.close();
    this.cancelSave?.();
    await this.save();
  }

  private startReading(): void {
    if (this.reading) return;
    this.options.reader.start((replies) => this.onReplies(replies));
    this.reading = true;
  }

  private onReplies(replies: readonly SeenReply[]): void {
    let changed = false;
    for (const reply of replies) {
      for (const { server, bytes } of this.packets.messages(reply)) {
        if (this.options.servers.length > 0 && !this.servers.check(server, familyOf(server))) continue;
        const answer = nameAnswer(bytes);
        if (answer !== undefined) changed = this.learn(answer) || changed;
      }
    }
    if (changed) this.changed();
    // Also a reply that says nothing new waits for those before it.
    this.options.held?.release(replies, this.realizing);
  }

  private learn(answer: NameAnswer): boolean {
    const changed = this.cache.learn(answer);
    if (changed) this.options.log.debug('dns.learned', { name: answer.name, addresses: answer.addresses.map(({ address }) => address) });
    this.saveLater();
    return changed;
  }

  private changed(): void {
    this.saveLater();
    const realizing = this.options.realize();
    this.realizing = realizing;
    // The loop says why it failed, and tries again.
    realizing.then(() => this.over(realizing), () => this.over(realizing));
  }

  private over(realizing: Promise<void>): void {
    if (this.realizing === realizing) this.realizing = undefined;
  }

  private saveLater(): void {
    this.unsaved = true;
    this.cancelSave ??= this.options.clock.after(SAVE_DELAY_MS, () => {
      this.cancelSave = undefined;
      this.saving = this.save();
    });
  }

  private async save(): Promise<void> {
    await this.saving;
    if (!this.unsaved) return;
    this.unsaved = false;
    try {
      await this.options.store.write(`${JSON.stringify(this.cache.snapshot())}\n`);
    } catch (error) {
      this.unsaved = true;
      this.options.log.warn('dns.not_saved', { error: describeError(error) });
    }
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}

function isCachedName(value: unknown): value is CachedName {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('addresses' in value)) return false;
  const { name, addresses } = value;
  return typeof name === 'string' && Array.isArray(addresses) && addresses.every((entry: unknown) => typeof entry === 'object' && entry !== null
    && 'address' in entry && typeof entry.address === 'string' && 'expiresMs' in entry && typeof entry.expiresMs === 'number');
}
