/**
 * The body of a list response, taken apart while it arrives: items come out one by one, so that a list of any length costs the memory of
 * one item, cut down to what is looked at before anything is parsed. The rest (kind, metadata) is parsed at the end. Pure.
 *
 * Kubernetes API conventions, "Types (Kinds)": a list is one JSON object whose field `items` is an array; the order of fields is not fixed.
 */
import { AgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import { JsonCutter, type Shape } from './json-cut.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const SPACE = 0x20;

/** Bytes that mean something outside of strings, and inside of them. */
const STRUCTURE = classOf(QUOTE, OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET);
const STRING_END = classOf(QUOTE, BACKSLASH);

function classOf(...bytes: readonly number[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of bytes) table[byte] = 1;
  return table;
}

/** The first byte from `at` on that the table knows. */
function seek(chunk: Uint8Array, from: number, table: Uint8Array): number {
  let at = from;
  // Most bytes of a list are looked at here, and only here.
  while (at < chunk.length && table[chunk[at] ?? 0] === 0) at++;
  return at;
}

/** etcd refuses values beyond 1.5 MiB by default; this is far more. */
export const MAX_ITEM_BYTES = 16 * 1024 * 1024;
/** Everything of a list that is no item. */
const MAX_ENVELOPE_BYTES = 1024 * 1024;

export interface ListEnvelope {
  /** Of the whole list; '' when the server gave none. */
  readonly resourceVersion: string;
  /** Asks for the next page; '' on the last. */
  readonly continueToken: string;
}

/** One response. push() in order, then finish(); after a throw the splitter is worthless. */
export class ListSplitter {
  /** Nesting around the current byte; items are at depth 2, inside of the array. */
  private depth = 0;
  private inString = false;
  private escaped = false;
  private inItems = false;
  private sawItems = false;
  /** An item that began in an earlier chunk. */
  private partial: Uint8Array[] = [];
  private partialBytes = 0;
  private envelope = '';
  private readonly cutter: JsonCutter | undefined;

  /** `shape`: only so much of each item is given. */
  constructor(shape: Shape = 'all') {
    if (shape !== 'all') this.cutter = new JsonCutter(shape);
  }

  /**
   * Gives each item that this chunk completes to `take`, as bytes that are good until that returns. They are an item's if they are JSON, which
   * is not looked at. Throws E_LIMIT when one is too large.
   */
  push(chunk: Uint8Array, take: (item: Uint8Array) => void): void {
    let { depth, inString, escaped } = this;
    // Where the current item, or the current piece of the envelope, begins in this chunk.
    let start = 0;
    let within = this.inItems && (depth > 2 || this.partialBytes > 0 || inString);
    for (let at = 0; at < chunk.length; at++) {
      if (inString) {
        if (escaped) {
          escaped = false;
          continue;
        }
        at = seek(chunk, at, STRING_END);
        if (at === chunk.length) break;
        if (chunk[at] === BACKSLASH) escaped = true;
        else inString = false;
        continue;
      }
      if (depth > 2) {
        at = seek(chunk, at, STRUCTURE);
        if (at === chunk.length) break;
      }
      const byte = chunk[at] ?? 0;
      if (this.inItems && depth === 2) {
        if (byte === COMMA || byte === CLOSE_BRACKET || byte <= SPACE) {
          if (within && byte !== CLOSE_BRACKET && byte !== COMMA) continue;
          if (within) take(this.complete(chunk.subarray(start, at)));
          within = false;
          if (byte === CLOSE_BRACKET) {
            this.inItems = false;
            depth = 1;
            start = at;
          }
          continue;
        }
        if (!within) {
          const end = byte === OPEN_BRACE ? this.cutWhole(chunk, at) : undefined;
          if (end !== undefined && this.cutter !== undefined) {
            take(this.cutter.result());
            at = end - 1;
            continue;
          }
          within = true;
          start = at;
        }
      }
      if (byte === QUOTE) inString = true;
      else if (byte === OPEN_BRACE) depth++;
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
      else if (byte === OPEN_BRACKET) {
        depth++;
        if (depth === 2 && !this.inItems && this.beginsItems(chunk.subarray(start, at))) {
          this.addToEnvelope(chunk.subarray(start, at + 1));
          this.inItems = true;
          this.sawItems = true;
          within = false;
        }
      }
    }
    if (!this.inItems) this.addToEnvelope(chunk.subarray(start));
    else if (within) this.keep(chunk.subarray(start));
    this.depth = depth;
    this.inString = inString;
    this.escaped = escaped;
  }

  /** Throws E_PARSE when the body ended too early or was no list. */
  finish(): ListEnvelope {
    if (this.depth !== 0 || this.inString || this.inItems) throw new AgentError('E_PARSE', 'the list ended too early', { retryable: true });
    let value: unknown;
    try {
      value = JSON.parse(this.envelope);
    } catch (cause) {
      throw new AgentError('E_PARSE', 'the answer is no JSON', { retryable: true, cause });
    }
    const { items, metadata } = fieldsOf(value) ?? {};
    const meta = fieldsOf(metadata);
    // Go writes an empty list as null.
    if (meta === undefined || (!this.sawItems && items !== null)) throw new AgentError('E_PARSE', 'the answer is no list', { retryable: true });
    const { resourceVersion, continue: token } = meta;
    return { resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : '', continueToken: typeof token === 'string' ? token : '' };
  }

  /** Where the item ends that begins there, if that is in this chunk: it is looked at once only. */
  private cutWhole(chunk: Uint8Array, from: number): number | undefined {
    const end = this.cutter?.cutAt(chunk, from);
    const next = end === undefined ? undefined : chunk[end];
    return next === undefined || next === COMMA || next === CLOSE_BRACKET || next <= SPACE ? end : undefined;
  }

  /** `before`: what stands before the bracket in this chunk. */
  private beginsItems(before: Uint8Array): boolean {
    return /"items"\s*:\s*$/.test(this.envelope.slice(-64) + textOf(before.subarray(-64)));
  }

  private addToEnvelope(bytes: Uint8Array): void {
    this.envelope += textOf(bytes);
    if (this.envelope.length > MAX_ENVELOPE_BYTES) throw new AgentError('E_LIMIT', `the answer is no list, or its metadata is larger than ${MAX_ENVELOPE_BYTES} bytes`);
  }

  private keep(bytes: Uint8Array): void {
    // The reader may use the chunk's memory again.
    this.partial.push(Uint8Array.from(bytes));
    this.partialBytes += bytes.length;
    if (this.partialBytes > MAX_ITEM_BYTES) throw new AgentError('E_LIMIT', `an item of the list is larger than ${MAX_ITEM_BYTES} bytes`);
  }

  private complete(last: Uint8Array): Uint8Array {
    let bytes = last;
    if (this.partialBytes > 0) {
      bytes = Buffer.concat([...this.partial, last]);
      this.partial = [];
      this.partialBytes = 0;
    }
    // What cannot be cut is for the parser to judge.
    return this.cutter?.cut(bytes) ?? bytes;
  }
}

/** The same, parsed. */
export class ListParser {
  private readonly splitter: ListSplitter;

  constructor(shape: Shape = 'all') {
    this.splitter = new ListSplitter(shape);
  }

  /** The items that this chunk completes. Throws E_PARSE when one is no JSON, E_LIMIT when one is too large. */
  push(chunk: Uint8Array): unknown[] {
    const items: unknown[] = [];
    this.splitter.push(chunk, (item) => items.push(parsed(item)));
    return items;
  }

  /** Throws E_PARSE when the body ended too early or was no list. */
  finish(): ListEnvelope {
    return this.splitter.finish();
  }
}

/** Throws E_PARSE. */
export function parsed(item: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(item));
  } catch (cause) {
    throw new AgentError('E_PARSE', 'an item of the list is no JSON', { retryable: true, cause });
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
