/** Reads back what the kernel has of our table, as far as comparison needs it. */
import { AgentError } from '../../model/errors.js';
import type { ElementDump, NftSocket } from '../../native/binding.js';
import { attributes, AttributeWriter, messages, readText, readU32, type Message } from './attributes.js';
import { readUserComment, type SetImage, type TableName } from './image.js';
import { MESSAGE, OBJECT } from './kernel.js';

export interface ReadVerdict {
  readonly key: Uint8Array;
  readonly flags: number;
  readonly code: number;
  readonly chain: string;
  readonly comment: string;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export class TableReader {
  constructor(private readonly socket: NftSocket, private readonly name: TableName) {}

  /** Absent, awake, or asleep: a dormant table (NFT_TABLE_F_DORMANT) enforces nothing. */
  async state(): Promise<'absent' | 'active' | 'dormant'> {
    const tables = await this.dump(MESSAGE.getTable, () => undefined);
    const table = tables.find((message) => message.family === this.name.family && readText(message.attributes.get(1)) === this.name.table);
    if (table === undefined) return 'absent';
    return (readU32(table.attributes.get(2)) & 1) === 0 ? 'active' : 'dormant';
  }

  /** Names of the table's sets; empty when there is no table. */
  async sets(): Promise<Set<string>> {
    const found = await this.dump(MESSAGE.getSet, (writer) => writer.text(1, this.name.table));
    return new Set(found.map((message) => readText(message.attributes.get(2))));
  }

  /** Names of the table's chains. */
  async chains(): Promise<Set<string>> {
    const found = await this.dump(MESSAGE.getChain, (writer) => writer.text(1, this.name.table));
    return new Set(this.ours(found).map((message) => readText(message.attributes.get(3))));
  }

  /** Names of the table's limits. */
  async limits(): Promise<Set<string>> {
    const found = await this.dump(MESSAGE.getObject, (writer) => writer.text(1, this.name.table).u32(3, OBJECT.limit));
    return new Set(this.ours(found).map((message) => readText(message.attributes.get(2))));
  }

  /** Names of base chains that hang on at least one device (netdev family). */
  async hookedChains(): Promise<Set<string>> {
    const found = await this.dump(MESSAGE.getChain, (writer) => writer.text(1, this.name.table));
    const names = this.ours(found).flatMap((message) => {
      const hook = attributes(message.attributes.get(4) ?? new Uint8Array(0));
      const devices = hook.filter(({ type, payload }) => (type === 3 || type === 4) && payload.length > 0);
      return devices.length > 0 ? [readText(message.attributes.get(3))] : [];
    });
    return new Set(names);
  }

  /** Comments of the rules of each chain, in order. */
  async rules(): Promise<Map<string, string[]>> {
    const found = await this.dump(MESSAGE.getRule, (writer) => writer.text(1, this.name.table));
    const rules = new Map<string, string[]>();
    for (const message of this.ours(found)) {
      const chain = readText(message.attributes.get(2));
      const list = rules.get(chain) ?? [];
      list.push(readUserComment(message.attributes.get(7)));
      rules.set(chain, list);
    }
    return rules;
  }

  /** Counters of the rules of each chain, in order of rules; a rule without counter gives undefined. */
  async counters(): Promise<Map<string, ({ packets: bigint; bytes: bigint } | undefined)[]>> {
    const found = await this.dump(MESSAGE.getRule, (writer) => writer.text(1, this.name.table));
    const counters = new Map<string, ({ packets: bigint; bytes: bigint } | undefined)[]>();
    for (const message of this.ours(found)) {
      const chain = readText(message.attributes.get(2));
      const list = counters.get(chain) ?? [];
      list.push(ruleCounter(message.attributes.get(4)));
      counters.set(chain, list);
    }
    return counters;
  }

  async elements(set: SetImage): Promise<ElementDump> {
    const dataLength = set.data === 'verdict' ? 0 : set.data;
    return this.socket.dumpElements({ ...this.name, set: set.name, keyLength: set.keyLength, dataLength });
  }

  async verdicts(set: SetImage): Promise<ReadVerdict[]> {
    const found = await this.dump(MESSAGE.getElements, (writer) => writer.text(1, this.name.table).text(2, set.name));
    return found.flatMap((message) => attributes(message.attributes.get(3) ?? new Uint8Array(0)).map(({ payload }) => readVerdict(payload)));
  }

  private ours(found: readonly Message[]): readonly Message[] {
    return found.filter((message) => readText(message.attributes.get(1)) === this.name.table && message.family === this.name.family);
  }

  private async dump(type: number, body: (writer: AttributeWriter) => void): Promise<Message[]> {
    const writer = new AttributeWriter();
    writer.raw(Uint8Array.of(this.name.family, 0, 0, 0));
    body(writer);
    try {
      return messages(await this.socket.dump(type & 0xff, writer.finish()));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw new AgentError('E_KERNEL', `could not read table ${this.name.table}: ${error instanceof Error ? error.message : String(error)}`, {
        object: 'nf_tables', retryable: true, cause: error,
      });
    }
  }
}

function readVerdict(element: Uint8Array): ReadVerdict {
  const fields = new Map(attributes(element).map(({ type, payload }) => [type, payload]));
  const key = attributes(fields.get(1) ?? new Uint8Array(0)).find(({ type }) => type === 1)?.payload ?? new Uint8Array(0);
  const data = attributes(fields.get(2) ?? new Uint8Array(0)).find(({ type }) => type === 2)?.payload ?? new Uint8Array(0);
  const verdict = new Map(attributes(data).map(({ type, payload }) => [type, payload]));
  const counted = counterValue(fields.get(7) ?? firstOfList(fields.get(11)));
  return {
    key: key.slice(), flags: readU32(fields.get(3)), code: readU32(verdict.get(1)) | 0, chain: readText(verdict.get(2)),
    comment: readUserComment(fields.get(6)), packets: counted?.packets ?? 0n, bytes: counted?.bytes ?? 0n,
  };
}

function firstOfList(list: Uint8Array | undefined): Uint8Array | undefined {
  return list === undefined ? undefined : attributes(list)[0]?.payload;
}

/** `expression`: attributes of one expression (name, data). */
function counterValue(expression: Uint8Array | undefined): { packets: bigint; bytes: bigint } | undefined {
  if (expression === undefined) return undefined;
  const fields = new Map(attributes(expression).map(({ type, payload }) => [type, payload]));
  if (readText(fields.get(1)) !== 'counter') return undefined;
  const values = new Map(attributes(fields.get(2) ?? new Uint8Array(0)).map(({ type, payload }) => [type, payload]));
  return { bytes: readU64(values.get(1)), packets: readU64(values.get(2)) };
}

function ruleCounter(expressions: Uint8Array | undefined): { packets: bigint; bytes: bigint } | undefined {
  for (const { payload } of attributes(expressions ?? new Uint8Array(0))) {
    const counted = counterValue(payload);
    if (counted !== undefined) return counted;
  }
  return undefined;
}

function readU64(payload: Uint8Array | undefined): bigint {
  return payload === undefined || payload.length < 8 ? 0n : new DataView(payload.buffer, payload.byteOffset, 8).getBigUint64(0);
}
