/** Makes table `inet dfw_dns` right: one transaction that replaces it, when it is not. No interfaces, no table. */
import { AgentError } from '../../model/errors.js';
import type { NftSocket, Segment } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';
import { AttributeWriter } from './attributes.js';
import { Block, equalsDump } from './blocks.js';
import { dnsChain, DNS_HOLD, DNS_TABLE, DNS_VNICS } from './dns-layout.js';
import { appendRules, deleteTable, flushSet, newChain, newSet, newTable } from './image.js';
import { TableReader } from './reader.js';

export interface DnsDriverOptions {
  readonly socket: NftSocket;
  readonly log: Logger;
  readonly logGroup: number;
  /** Hears of every commit here, so that those who watch for changes of others do not take it for one. */
  readonly onCommit: (generation: number) => void;
}

export class DnsDriver {
  readonly object = 'inet dfw_dns';
  private readonly reader: TableReader;

  constructor(private readonly options: DnsDriverOptions) {
    this.reader = new TableReader(options.socket, DNS_TABLE);
  }

  /** Interfaces are known by their names, whatever becomes of them. */
  key(): string {
    return '';
  }

  /** True when something was written. Rejects with E_KERNEL, retryable, when refused; the old state then stays. */
  async apply(interfaces: readonly string[]): Promise<boolean> {
    const state = await this.reader.state();
    if (interfaces.length === 0) {
      if (state === 'absent') return false;
      await this.replace([]);
      return true;
    }
    if (state === 'active' && !(await this.differs(interfaces))) return false;
    await this.replace(interfaces);
    this.options.log.info('dns.learning', { interfaces: interfaces.length });
    return true;
  }

  /** Is the table other than apply() made it? Reads only. */
  async differs(interfaces: readonly string[]): Promise<boolean> {
    const state = await this.reader.state();
    if (interfaces.length === 0) return state !== 'absent';
    if (state !== 'active') return true;
    const chain = dnsChain(this.options.logGroup);
    const comments = (await this.reader.rules()).get(chain.name) ?? [];
    if (comments.length !== chain.rules.length || chain.rules.some((entry, index) => comments[index] !== entry.comment.slice(0, 127))) return true;
    return !equalsDump(names(interfaces), await this.reader.elements(DNS_VNICS), DNS_VNICS);
  }

  /** Holds the replies of these interfaces back for 3 s from now, and of no others. */
  async hold(interfaces: readonly string[]): Promise<void> {
    const writer = new AttributeWriter();
    flushSet(writer, DNS_TABLE, DNS_HOLD.name);
    await this.transact([{ kind: 'raw', bytes: writer.finish() }, ...elements(DNS_HOLD.name, interfaces)]);
  }

  generation(): Promise<number> {
    return this.options.socket.generation();
  }

  async cleanup(): Promise<string[]> {
    await this.replace([]);
    return [`table ${this.object}`];
  }

  private async replace(interfaces: readonly string[]): Promise<void> {
    const writer = new AttributeWriter();
    // Creating first makes the deletion succeed when there is no table.
    newTable(writer, DNS_TABLE);
    deleteTable(writer, DNS_TABLE);
    if (interfaces.length > 0) {
      newTable(writer, DNS_TABLE);
      newSet(writer, DNS_TABLE, DNS_VNICS, 1);
      newSet(writer, DNS_TABLE, DNS_HOLD, 2);
      const chain = dnsChain(this.options.logGroup);
      newChain(writer, DNS_TABLE, chain);
      appendRules(writer, DNS_TABLE, chain);
    }
    await this.transact([{ kind: 'raw', bytes: writer.finish() }, ...elements(DNS_VNICS.name, interfaces)]);
  }

  private async transact(segments: readonly Segment[]): Promise<void> {
    const result = await this.options.socket.transact(segments);
    if (result.committed) {
      this.options.onCommit(result.generation);
      return;
    }
    throw new AgentError('E_KERNEL', `nf_tables refused the change: ${result.errors[0]?.code ?? 'unknown error'}`, {
      object: 'inet dfw_dns', retryable: true, context: { errors: result.errors.slice(0, 5) },
    });
  }
}

function elements(set: string, interfaces: readonly string[]): Segment[] {
  return interfaces.length === 0 ? [] : [names(interfaces).segment('add', DNS_TABLE, set)];
}

function names(interfaces: readonly string[]): Block {
  const block = new Block(16, 0);
  for (const name of interfaces) {
    block.add();
    block.keyText(name);
  }
  return block;
}
