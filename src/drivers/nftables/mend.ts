/**
 * After a restart: what the kernel enforces is not what shall be enforced, because something changed meanwhile or the agent died between two commits.
 * The way from the one to the other without a moment at which packets find nothing: a table that is deleted and made anew has empty maps until its
 * commit has ended (ADR 8). Three batches, each for itself as good as the one before:
 *   1. sets that are missing, whole, and chains that are missing: nobody goes there yet;
 *   2. what differs in chains, maps and labels: this is when the target is in force;
 *   3. what is no longer wanted goes. Should it not come so far, the next start finds it, and mends again.
 */
import { AgentError } from '../../model/errors.js';
import type { Segment } from '../../native/binding.js';
import { AttributeWriter } from './attributes.js';
import { codeVerdicts, dispatchVerdicts, expectedChains, idOf, plainBlocks, tableBlocks, wordKey, words } from './adopt.js';
import { SETS } from './base-layout.js';
import { Block, CATCHALL, END, equalsDump } from './blocks.js';
import { appendRules, deleteChain, deleteSet, flushChain, newChain, newSet, type ChainImage, type SetImage } from './image.js';
import type { Actual, PlanOptions } from './plan.js';
import type { TableReader } from './reader.js';
import { addCommented, addVerdicts, removeElements, type VerdictElement } from './verdicts.js';

/** Batches in their order; each is committed when the one before is. */
export interface Mending { readonly batches: readonly (readonly Segment[])[]; readonly elements: number }

/**
 * What leads from what the kernel has to `wanted`, which is all that it then has. Undefined: the table is not there, is asleep, or its own chains and
 * sets are of another version of the agent: then only a new one will do. @throws AgentError E_KERNEL when it cannot be read; E_LIMIT when a set differs that is too large.
 */
export async function mend(reader: TableReader, wanted: Actual, options: PlanOptions): Promise<Mending | undefined> {
  if (await reader.state() !== 'active') return undefined;
  const [chains, rules, sets] = [await reader.chains(), await reader.rules(), await reader.sets()];
  const { dialect } = options;
  const same = (chain: ChainImage): boolean => {
    const comments = rules.get(chain.name) ?? [];
    return comments.length === chain.rules.length && chain.rules.every(({ comment }, index) => comments[index] === comment.slice(0, 127));
  };
  if (dialect.chains.some((chain) => !chains.has(chain.name) || !same(chain)) || dialect.sets.some(({ name }) => !sets.has(name))) return undefined;
  const mender = new Mender(reader, wanted, options, { chains, sets, same });
  return mender.mend();
}

/** A comparison costs some 500 bytes an element: more than these are faster made anew. */
const MOST_COMPARED = 400_000;

interface Kernel { readonly chains: ReadonlySet<string>; readonly sets: ReadonlySet<string>; readonly same: (chain: ChainImage) => boolean }
interface Elements { readonly count: number; readonly keys: Uint8Array; readonly data: Uint8Array; readonly flags: Uint8Array }

class Mender {
  private readonly fresh = { head: new AttributeWriter(), rules: new AttributeWriter(), data: [] as Segment[] };
  private readonly change = { rules: new AttributeWriter(), data: [] as Segment[], verdicts: new AttributeWriter() };
  private elements = 0;

  constructor(private readonly reader: TableReader, private readonly wanted: Actual, private readonly options: PlanOptions, private readonly kernel: Kernel) {}

  async mend(): Promise<Mending> {
    const { wanted, kernel, options: { dialect } } = this;
    const table = dialect.name;
    const chains = expectedChains({ ...wanted, labels: this.ownLabels() }, this.options);
    for (const chain of chains.values()) {
      if (!kernel.chains.has(chain.name)) {
        newChain(this.fresh.head, table, chain);
        appendRules(this.fresh.rules, table, chain);
      } else if (!kernel.same(chain)) {
        flushChain(this.change.rules, table, chain.name);
        appendRules(this.change.rules, table, chain);
      }
    }
    const tables = [...wanted.tables.values()];
    let setId = 0;
    for (const [set, block] of tables.flatMap(tableBlocks)) {
      if (kernel.sets.has(set.name)) await this.block(set, block);
      else {
        newSet(this.fresh.head, table, set, (setId += 1));
        if (block.count > 0) this.fresh.data.push(block.segment('add', table, set.name));
        this.elements += block.count;
      }
    }
    for (const [set, block] of plainBlocks(dialect, wanted)) await this.block(set, block);
    for (const [set, elements] of [...dispatchVerdicts(wanted), ...codeVerdicts([...this.ownLabels().values()])]) await this.verdicts(set, elements);
    await this.labels();

    const gone = { rules: new AttributeWriter(), tail: new AttributeWriter() };
    const unwanted = [...kernel.chains].filter((name) => !chains.has(name));
    for (const name of unwanted) flushChain(gone.rules, table, name);
    for (const name of unwanted) deleteChain(gone.tail, table, name);
    const known = new Set([...dialect.sets, ...tables.flatMap(({ sets }) => [...sets.values()])].map(({ name }) => name));
    for (const name of kernel.sets) if (!known.has(name)) deleteSet(gone.tail, table, name);
    const raw = (writer: AttributeWriter): Segment[] => (writer.length === 0 ? [] : [{ kind: 'raw', bytes: writer.finish() }]);
    const batches = [
      // Rules before elements: a rule that comes to a map makes the kernel walk all that is in it.
      [...raw(this.fresh.head), ...raw(this.fresh.rules), ...this.fresh.data],
      [...raw(this.change.rules), ...this.change.data, ...raw(this.change.verdicts)],
      [...raw(gone.rules), ...raw(gone.tail)],
    ];
    return { batches: batches.filter((segments) => segments.length > 0), elements: this.elements };
  }

  /** Without those that are kept for the sweep alone. */
  private ownLabels(): Actual['labels'] {
    return new Map([...this.wanted.labels].filter(([id]) => !this.wanted.retired.has(id)));
  }

  private async labels(): Promise<void> {
    const { reader, wanted, options: { dialect: { name: table } } } = this;
    const ids = new Set((await reader.verdicts(SETS.ids)).map(({ key }) => idOf(key)));
    const fresh = [...wanted.labels.values()].filter(({ id }) => !ids.has(id));
    addCommented(this.change.verdicts, table, SETS.ids, fresh.map(({ id, key }) => ({ key: wordKey(id), comment: key })));
    this.elements += fresh.length;
    const stateless = [...wanted.labels.values()].filter((label) => label.stateless).map(({ id }) => id);
    for (const [set, members] of [[SETS.live, wanted.live], [SETS.stateless, new Set(stateless)]] as const) {
      const have = new Set(words(await reader.elements(set)));
      this.put('delete', set, idBlock([...have].filter((id) => !members.has(id))));
      this.put('add', set, idBlock([...members].filter((id) => !have.has(id))));
    }
  }

  private async verdicts(set: SetImage, elements: readonly VerdictElement[]): Promise<void> {
    const text = (key: Uint8Array): string => Buffer.from(key).toString('hex');
    const have = new Map((await this.reader.verdicts(set)).map((element) => [text(element.key), element]));
    const want = new Map(elements.map((element) => [text(element.key), element]));
    const equal = (key: string): boolean => {
      const [is, shall] = [have.get(key), want.get(key)];
      return is !== undefined && shall !== undefined && is.code === shall.verdict.code && is.chain === (shall.verdict.chain ?? '');
    };
    const table = this.options.dialect.name;
    const add = elements.filter(({ key }) => !equal(text(key)));
    removeElements(this.change.verdicts, table, set, [...have].filter(([key]) => !equal(key)).map(([, element]) => element));
    addVerdicts(this.change.verdicts, table, set, add);
    this.elements += add.length;
  }

  private async block(set: SetImage, wanted: Block): Promise<void> {
    const dump = await this.reader.elements(set);
    if (equalsDump(wanted, dump, set)) return;
    if (dump.count + wanted.count > MOST_COMPARED) throw new AgentError('E_LIMIT', `${dump.count} elements of ${set.name} are too many to be compared one by one`, { object: set.name });
    const have = groups(set, dump);
    const want = groups(set, blockElements(set, wanted));
    this.put('delete', set, differing(set, have, want));
    this.put('add', set, differing(set, want, have));
  }

  private put(op: 'add' | 'delete', set: SetImage, block: Block): void {
    if (block.count === 0) return;
    this.change.data.push(block.segment(op, this.options.dialect.name, set.name));
    this.elements += block.count;
  }
}

interface Element { readonly flags: number; readonly key: Uint8Array; readonly data: Uint8Array }

function blockElements(set: SetImage, block: Block): Elements {
  const segment = block.segment('add', { family: 0, table: '' }, set.name);
  return { count: block.count, keys: segment.keys, data: segment.data ?? new Uint8Array(0), flags: segment.flags ?? new Uint8Array(block.count) };
}

/** An element of a plain map is a group, an interval of two elements is another one: what changes of an interval, changes it whole. */
function groups(set: SetImage, { count, keys, data, flags }: Elements): Map<string, Element[]> {
  const dataLength = set.data === 16 ? 16 : 0;
  const elements = Array.from({ length: count }, (_, index): Element => {
    const flag = flags[index] ?? 0;
    const value = (flag & END) !== 0 || dataLength === 0 ? new Uint8Array(0) : data.subarray(index * dataLength, (index + 1) * dataLength);
    return { flags: flag, key: keys.subarray(index * set.keyLength, (index + 1) * set.keyLength), data: value };
  });
  const found = new Map<string, Element[]>();
  const add = (group: Element[]): void => void found.set(group.map(({ flags: flag, key, data: value }) => `${flag} ${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`).join(), group);
  if (!set.interval) {
    for (const element of elements) add([element]);
    return found;
  }
  // An end is the first address that is not meant: before a start at the same one.
  const ordered = elements.toSorted((a, b) => Buffer.compare(a.key, b.key) || (b.flags & END) - (a.flags & END));
  for (let index = 0; index < ordered.length; index += 1) {
    const [element, next] = [ordered[index], ordered[index + 1]];
    if (element === undefined) continue;
    if ((element.flags & (END | CATCHALL)) === 0 && next !== undefined && (next.flags & END) !== 0) {
      add([element, next]);
      index += 1;
    } else add([element]);
  }
  return found;
}

function differing(set: SetImage, groupsOf: ReadonlyMap<string, readonly Element[]>, others: ReadonlyMap<string, unknown>): Block {
  const block = new Block(set.keyLength, set.data === 16 ? 16 : 0);
  for (const [text, group] of groupsOf) {
    if (others.has(text)) continue;
    for (const { flags, key, data } of group) {
      block.add(flags);
      key.forEach((value, offset) => block.keyByte(offset, value));
      data.forEach((value, offset) => block.dataByte(offset, value));
    }
  }
  return block;
}

function idBlock(ids: Iterable<number>): Block {
  const block = new Block(4, 0);
  for (const id of ids) {
    block.add();
    block.keyHostWord(id);
  }
  return block;
}
