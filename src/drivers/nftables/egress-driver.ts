/** Makes tables `inet dfw_egress` and `arp dfw_egress` right, and says which addresses are held. */
import { addressKey } from '../../compile/addresses.js';
import { nextKey6 } from '../../compile/key6.js';
import { memberRanges } from '../../compile/ranges.js';
import { AgentError } from '../../model/errors.js';
import type { NftSocket, Segment } from '../../native/binding.js';
import { AttributeWriter } from './attributes.js';
import { Block, END } from './blocks.js';
import { arpChains, EGRESS_ARP_TABLE, egressChains, EGRESS_SETS, EGRESS_TABLE, wayChain, type EgressLayout } from './egress-layout.js';
import { appendRules, deleteTable, flushSet, newChain, newSet, newTable, type ChainImage, type SetImage, type TableName } from './image.js';
import { FLAG, MESSAGE, VERDICT } from './kernel.js';
import { TableReader } from './reader.js';
import { addVerdicts, type VerdictElement } from './verdicts.js';

export interface EgressImage extends EgressLayout {
  /** Addresses of Egresses that leases decide on. */
  readonly addresses: readonly string[];
  /** Prefixes that packets go to untouched. */
  readonly except: readonly string[];
  /** Pod → address that it leaves with, by this node. */
  readonly translate: ReadonlyMap<string, string>;
  /** Local pod → mark of the node that has its address; undefined: nobody has. */
  readonly away: ReadonlyMap<string, number | undefined>;
  /** Pod of another node → mark of that node. */
  readonly back: ReadonlyMap<string, number>;
  /** Hosts that may send through the tunnel. */
  readonly nodes: readonly string[];
}

/** Address → CLOCK_MONOTONIC in ms up to which it may be used. */
export type Held = ReadonlyMap<string, number>;

export interface EgressDriverOptions {
  /** Of its own: what others have to write must not be waited for. */
  readonly socket: NftSocket;
  /** CLOCK_MONOTONIC in ms. */
  readonly now: () => number;
  /** Hears of every commit here. */
  readonly onCommit: (generation: number) => void;
}

/** A transaction that is not sent this soon is not sent: its times would be too long. */
const SEND_WITHIN_MS = 50;
const TABLES = [EGRESS_TABLE, EGRESS_ARP_TABLE] as const;

export class EgressDriver {
  readonly object = 'inet dfw_egress, arp dfw_egress';
  private current: EgressImage | undefined;
  private held: Held = new Map();
  /** Of nf_tables when the tables were last seen to be right. */
  private generation = -1;
  /** One after the other: each writes all that is held. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: EgressDriverOptions) {}

  /** Is the address let through by what is held only? */
  guards(address: string): boolean {
    return this.current?.addresses.includes(address) === true;
  }

  /** Replaces both tables in one transaction; undefined removes them. Rejects with E_KERNEL, retryable; the old state then stays. */
  apply(image: EgressImage | undefined): Promise<void> {
    return this.inTurn(async () => {
      await this.commit(() => this.replacement(image));
      this.current = image;
    });
  }

  /** From now on these addresses are used, each until its time, and no others. Before the first apply() it is only noted. */
  hold(held: Held): Promise<void> {
    // What waits for its turn writes the newest.
    this.held = held;
    return this.inTurn(async () => {
      if (this.current !== undefined) await this.commit(() => this.heldElements(true));
    });
  }

  /** What somebody else did to the tables; undefined when nothing. */
  async drifted(): Promise<string | undefined> {
    const { current } = this;
    if (current === undefined) return undefined;
    const generation = await this.options.socket.generation();
    if (generation === this.generation) return undefined;
    for (const [table, chains] of [[EGRESS_TABLE, egressChains(current)], [EGRESS_ARP_TABLE, arpChains()]] as const) {
      const reader = new TableReader(this.options.socket, table);
      if (await reader.state() !== 'active') return `${this.object} is not there`;
      const rules = await reader.rules();
      const wrong = chains.find(({ name, rules: wanted }) => wanted.map(({ comment }) => comment.slice(0, 127)).join('\n') !== (rules.get(name) ?? []).join('\n'));
      if (wrong !== undefined) return `chain ${wrong.name} of ${this.object} was changed`;
    }
    this.generation = generation;
    return undefined;
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => undefined);
    return result;
  }

  /** `segments` are made anew when it was too late to send them: times count from the moment they arrive. */
  private async commit(segments: () => Segment[]): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const now = this.options.now();
      try {
        const result = await this.options.socket.transact(segments(), now + SEND_WITHIN_MS);
        if (!result.committed) {
          throw new AgentError('E_KERNEL', `nf_tables refused the change: ${result.errors[0]?.code ?? 'unknown error'}`, {
            object: this.object, retryable: true, context: { errors: result.errors.slice(0, 5) },
          });
        }
        this.options.onCommit(result.generation);
        if (result.generation === this.generation + 1) this.generation = result.generation;
      } catch (error) {
        if (tries < 5 && error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT') continue;
        throw error;
      }
      // It may have waited inside the kernel: then it is written again, with what is left.
      if (this.options.now() - now <= 2 * SEND_WITHIN_MS || tries >= 5 || this.held.size === 0) return;
    }
  }

  private replacement(image: EgressImage | undefined): Segment[] {
    const writer = new AttributeWriter();
    for (const table of TABLES) {
      // Creating first makes the deletion succeed when there is no table.
      newTable(writer, table);
      deleteTable(writer, table);
    }
    if (image === undefined) return [{ kind: 'raw', bytes: writer.finish() }];
    declare(writer, EGRESS_TABLE, [...Object.values(EGRESS_SETS[4]), ...Object.values(EGRESS_SETS[6])], egressChains(image));
    declare(writer, EGRESS_ARP_TABLE, [EGRESS_SETS[4].egress, EGRESS_SETS[4].held], arpChains());
    const verdicts = new AttributeWriter();
    for (const family of [4, 6] as const) {
      addVerdicts(verdicts, EGRESS_TABLE, EGRESS_SETS[family].away, ways(image.away, family));
      addVerdicts(verdicts, EGRESS_TABLE, EGRESS_SETS[family].back, ways(image.back, family));
    }
    const pods = [...image.translate.keys(), ...image.away.keys()];
    return [
      { kind: 'raw', bytes: writer.finish() },
      ...([4, 6] as const).flatMap((family) => {
        const own = EGRESS_SETS[family];
        return [
          ...hosts(EGRESS_TABLE, own.egress, image.addresses), ...hosts(EGRESS_TABLE, own.pods, pods), ...hosts(EGRESS_TABLE, own.nodes, image.nodes),
          ...translations(own.translate, image.translate), ...prefixes(own.except, image.except),
        ];
      }),
      ...hosts(EGRESS_ARP_TABLE, EGRESS_SETS[4].egress, image.addresses),
      ...(verdicts.length === 0 ? [] : [{ kind: 'raw', bytes: verdicts.finish() } satisfies Segment]),
      ...this.heldElements(false, image),
    ];
  }

  private heldElements(flush: boolean, image = this.current): Segment[] {
    const writer = new AttributeWriter();
    const now = this.options.now();
    for (const [table, set] of [[EGRESS_TABLE, EGRESS_SETS[4].held], [EGRESS_TABLE, EGRESS_SETS[6].held], [EGRESS_ARP_TABLE, EGRESS_SETS[4].held]] as const) {
      if (flush) flushSet(writer, table, set.name);
      const left = [...this.held].flatMap(([address, until]) => {
        const key = keyBytes(address, set.keyLength);
        return key === undefined || until - now < 1 || image?.addresses.includes(address) !== true ? [] : [{ key, ms: Math.floor(until - now) }];
      });
      if (left.length === 0) continue;
      writer.message(MESSAGE.newElements, FLAG.request | FLAG.create, table.family, () => {
        writer.text(1, table.table).text(2, set.name);
        writer.nest(3, () => {
          for (const { key, ms } of left) writer.nest(1, () => writer.nest(1, () => writer.data(1, key)).u64(4, BigInt(ms)));
        });
      });
    }
    return writer.length === 0 ? [] : [{ kind: 'raw', bytes: writer.finish() }];
  }
}

function declare(writer: AttributeWriter, table: TableName, sets: readonly SetImage[], chains: readonly ChainImage[]): void {
  newTable(writer, table);
  sets.forEach((set, index) => newSet(writer, table, set, index + 1));
  for (const chain of chains) newChain(writer, table, chain);
  for (const chain of chains) appendRules(writer, table, chain);
}

/** Undefined for an address of the other family. */
function keyBytes(address: string, length: number): Uint8Array | undefined {
  const block = new Block(length, 0);
  return putKey(block, address) ? block.segment('add', EGRESS_TABLE, '').keys : undefined;
}

function putKey(block: Block, address: string): boolean {
  const key = addressKey(address);
  if (key === undefined || (key.family === 4) !== (block.keyLength === 4)) return false;
  block.add();
  if (key.family === 4) block.keyWord(0, key.key);
  else block.keyText(key.key);
  return true;
}

function filled(block: Block, table: TableName, set: SetImage): Segment[] {
  return block.count === 0 ? [] : [block.segment('add', table, set.name)];
}

function hosts(table: TableName, set: SetImage, addresses: Iterable<string>): Segment[] {
  const block = new Block(set.keyLength, 0);
  for (const address of new Set(addresses)) putKey(block, address);
  return filled(block, table, set);
}

function translations(set: SetImage, addresses: ReadonlyMap<string, string>): Segment[] {
  const block = new Block(set.keyLength, set.keyLength);
  for (const [pod, address] of addresses) {
    const value = addressKey(address);
    if (value === undefined || !putKey(block, pod)) continue;
    const bytes = keyBytes(address, set.keyLength);
    if (bytes === undefined) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let word = 0; word < set.keyLength / 4; word += 1) block.dataWord(word, view.getUint32(word * 4));
  }
  return filled(block, EGRESS_TABLE, set);
}

function prefixes(set: SetImage, members: readonly string[]): Segment[] {
  const { intervals4, intervals6 } = memberRanges(members.map(asPrefix));
  const block = new Block(set.keyLength, 0);
  if (set.keyLength === 4) {
    for (let i = 0; i < intervals4.length; i += 2) {
      block.add();
      block.keyWord(0, intervals4[i] ?? 0);
      const last = intervals4[i + 1] ?? 0;
      if (last === 0xffffffff) continue; // open ended: to the last address
      block.add(END);
      block.keyWord(0, last + 1);
    }
  } else {
    for (let i = 0; i < intervals6.length; i += 2) {
      block.add();
      block.keyText(intervals6[i] ?? '');
      const end = nextKey6(intervals6[i + 1] ?? '');
      if (end === undefined) continue;
      block.add(END);
      block.keyText(end);
    }
  }
  return filled(block, EGRESS_TABLE, set);
}

/** memberRanges keeps hosts apart from intervals; here all are intervals. */
function asPrefix(member: string): string {
  return member.includes('/') || member.includes('-') ? member : `${member}/${member.includes(':') ? 128 : 32}`;
}

function ways(addresses: ReadonlyMap<string, number | undefined>, family: 4 | 6): VerdictElement[] {
  return [...addresses].flatMap(([address, mark]): VerdictElement[] => {
    const key = keyBytes(address, family === 4 ? 4 : 16);
    if (key === undefined) return [];
    return [{ key, verdict: mark === undefined ? { code: VERDICT.drop } : { code: VERDICT.goto, chain: wayChain(mark) } }];
  });
}
