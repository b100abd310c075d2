/**
 * Makes table `netdev dfw` equal to an image: reads what is there, writes what differs, one transaction. Chains here hang
 * on interfaces that come and go, so nothing is remembered between calls.
 */
import { AgentError } from '../../model/errors.js';
import type { NftSocket, Segment } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';
import { AttributeWriter } from './attributes.js';
import { appendRules, deleteChain, deleteLimit, deleteTable, flushChain, newChain, newLimit, newTable, type ChainImage } from './image.js';
import { NETDEV_TABLE, type NetdevImage } from './netdev-layout.js';
import { TableReader } from './reader.js';

export interface ChainCounter {
  readonly comment: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export class NetdevDriver {
  private readonly reader: TableReader;

  constructor(private readonly deps: { readonly socket: NftSocket; readonly log: Logger }) {
    this.reader = new TableReader(deps.socket, NETDEV_TABLE);
  }

  /** True when something was written. An empty image removes the table. Rejects with E_KERNEL, retryable, when refused; the old state then stays. */
  async apply(image: NetdevImage): Promise<boolean> {
    const segments = await this.changes(image);
    if (segments.length === 0) return false;
    const result = await this.deps.socket.transact(segments);
    if (!result.committed) {
      throw new AgentError('E_KERNEL', `nf_tables refused the change: ${result.errors[0]?.code ?? 'unknown error'}`, {
        object: 'netdev dfw', retryable: true, context: { errors: result.errors.slice(0, 5) },
      });
    }
    this.deps.log.info('netdev.committed', { chains: image.chains.size });
    return true;
  }

  /** Has somebody else changed the table? Reads only. */
  async differs(image: NetdevImage): Promise<boolean> {
    return (await this.changes(image)).length > 0;
  }

  private async changes(image: NetdevImage): Promise<Segment[]> {
    const state = await this.reader.state();
    const writer = new AttributeWriter();
    if (state === 'dormant') deleteTable(writer, NETDEV_TABLE);
    const exists = state === 'active';
    if (image.chains.size === 0) {
      if (!exists && writer.length === 0) return [];
      if (!exists) return [{ kind: 'raw', bytes: writer.finish() }];
      deleteTable(writer, NETDEV_TABLE);
      return [{ kind: 'raw', bytes: writer.finish() }];
    }
    const have = exists ? await this.reader.chains() : new Set<string>();
    const hooked = exists ? await this.reader.hookedChains() : new Set<string>();
    const rules = exists ? await this.reader.rules() : new Map<string, string[]>();
    const limits = exists ? await this.reader.limits() : new Set<string>();

    if (!exists) newTable(writer, NETDEV_TABLE);
    for (const limit of image.limits.values()) if (!limits.has(limit.name)) newLimit(writer, NETDEV_TABLE, limit);
    const tail = new AttributeWriter();
    for (const chain of image.chains.values()) {
      // A chain whose interface went away has lost its hook; it is made anew.
      if (have.has(chain.name) && hooked.has(chain.name) && sameRules(chain, rules.get(chain.name) ?? [])) continue;
      if (have.has(chain.name)) {
        flushChain(writer, NETDEV_TABLE, chain.name);
        deleteChain(writer, NETDEV_TABLE, chain.name);
      }
      newChain(writer, NETDEV_TABLE, chain);
      appendRules(tail, NETDEV_TABLE, chain);
    }
    for (const name of have) {
      if (image.chains.has(name)) continue;
      flushChain(writer, NETDEV_TABLE, name);
      deleteChain(writer, NETDEV_TABLE, name);
    }
    // Those that no rule names any more: their rules are gone by now.
    for (const name of limits) if (!image.limits.has(name)) deleteLimit(tail, NETDEV_TABLE, name);
    return [writer, tail].filter(({ length }) => length > 0).map((filled) => ({ kind: 'raw', bytes: filled.finish() }));
  }

  generation(): Promise<number> {
    return this.deps.socket.generation();
  }

  /** Counters of the rules that have one, by chain, with their comments. */
  async counters(): Promise<Map<string, ChainCounter[]>> {
    const found = new Map<string, ChainCounter[]>();
    if ((await this.reader.state()) === 'absent') return found;
    const comments = await this.reader.rules();
    for (const [chain, counters] of await this.reader.counters()) {
      const list = counters.flatMap((value, index) => (value === undefined ? [] : [{ comment: comments.get(chain)?.[index] ?? '', ...value }]));
      found.set(chain, list);
    }
    return found;
  }

  async cleanup(): Promise<void> {
    const writer = new AttributeWriter();
    newTable(writer, NETDEV_TABLE);
    deleteTable(writer, NETDEV_TABLE);
    const result = await this.deps.socket.transact([{ kind: 'raw', bytes: writer.finish() }]);
    if (!result.committed) throw new AgentError('E_KERNEL', `could not remove table netdev dfw: ${result.errors[0]?.code ?? ''}`, { object: 'netdev dfw', retryable: true });
  }
}

function sameRules(chain: ChainImage, comments: readonly string[]): boolean {
  return comments.length === chain.rules.length && chain.rules.every((entry, index) => comments[index] === entry.comment.slice(0, 127));
}
