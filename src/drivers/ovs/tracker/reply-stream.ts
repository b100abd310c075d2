import { AgentError } from '../../../model/errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LONGEST_KEY = 64;
const LONGEST_ERROR = 64 * 1024;
const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x22, 0x22], [0x5c, 0x5c], [0x2f, 0x2f], [0x62, 0x08], [0x66, 0x0c], [0x6e, 0x0a], [0x72, 0x0d], [0x74, 0x09],
]);

type Place = 'begin' | 'member' | 'key' | 'colon' | 'value' | 'text' | 'word' | 'after' | 'done';

/**
 * Reads one JSON-RPC reply whose result is a string, as ovs-vswitchd gives it (ovs-appctl(8)), while it arrives: the string may be
 * hundreds of megabytes and is handed on in pieces, as UTF-8. Throws E_PARSE for what is no such reply; nothing can be read after that.
 */
export class ReplyStream {
  private place: Place = 'begin';
  private key = '';
  private word = '';
  private readonly error: Uint8Array[] = [];
  private errorLength = 0;
  private refused = false;
  /** What came of an escape sequence so far, without the backslash: "" right after it; undefined outside. */
  private escape: string | undefined;
  private highSurrogate = 0;

  constructor(
    private readonly result: (bytes: Uint8Array) => void,
    /** What errors name. */
    private readonly peer: string,
  ) {}

  /** The reply has ended. */
  get done(): boolean {
    return this.place === 'done';
  }

  /** What the program said instead of a result; undefined when it did what was asked. */
  get refusal(): string | undefined {
    return this.refused ? Buffer.concat(this.error).toString('utf8').trim() : undefined;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.place === 'text' || this.place === 'key') at = this.readText(chunk, at);
      else {
        this.readMark(chunk[at] ?? 0);
        at += 1;
      }
    }
  }

  private readMark(byte: number): void {
    const character = String.fromCharCode(byte);
    if (this.place === 'word') {
      if (/[a-z0-9.+-]/i.test(character) && this.word.length < LONGEST_KEY) {
        this.word += character;
        return;
      }
      this.place = 'after';
    }
    if (character === ' ' || character === '\n' || character === '\t' || character === '\r') return;
    const next = this.next(character);
    if (next === undefined) throw this.wrong();
    this.place = next;
  }

  private next(character: string): Place | undefined {
    switch (this.place) {
      case 'begin':
        return character === '{' ? 'member' : undefined;
      case 'member':
        this.key = '';
        return character === '"' ? 'key' : undefined;
      case 'colon':
        return character === ':' ? 'value' : undefined;
      case 'value':
        if (character === '"') {
          this.refused ||= this.key === 'error';
          return 'text';
        }
        this.word = character;
        return /[a-z0-9-]/i.test(character) ? 'word' : undefined;
      case 'after':
        if (character === ',') return 'member';
        return character === '}' ? 'done' : undefined;
      case 'key':
      case 'text':
      case 'word':
      case 'done':
        return undefined;
    }
  }

  /** Up to the end of the string or of the chunk; hands on what it read. */
  private readText(chunk: Uint8Array, from: number): number {
    const out = new Uint8Array(chunk.length - from + 8);
    let length = 0;
    let at = from;
    let quote = -1;
    while (at < chunk.length) {
      if (this.escape !== undefined) {
        length = this.readEscape(chunk[at] ?? 0, out, length);
        at += 1;
        continue;
      }
      if (quote < at) quote = positionOf(chunk, QUOTE, at);
      const end = Math.min(quote, positionOf(chunk, BACKSLASH, at));
      if (end > at) this.highSurrogate = 0;
      out.set(chunk.subarray(at, end), length);
      length += end - at;
      at = end + 1;
      if (end === quote && quote < chunk.length) {
        this.hand(out.subarray(0, length));
        this.place = this.place === 'key' ? 'colon' : 'after';
        return at;
      }
      if (end < chunk.length) this.escape = '';
    }
    this.hand(out.subarray(0, length));
    return chunk.length;
  }

  private readEscape(byte: number, out: Uint8Array, begin: number): number {
    let length = begin;
    if (this.escape === '') {
      const plain = ESCAPES.get(byte);
      if (plain !== undefined) {
        this.escape = undefined;
        out[length] = plain;
        return length + 1;
      }
      if (byte !== 0x75) throw this.wrong();
      this.escape = 'u';
      return length;
    }
    this.escape += String.fromCharCode(byte);
    if (this.escape?.length !== 5) return length;
    if (!/^u[0-9a-f]{4}$/i.test(this.escape)) throw this.wrong();
    const unit = Number.parseInt(this.escape.slice(1), 16);
    this.escape = undefined;
    if (unit >= 0xd800 && unit < 0xdc00) {
      this.highSurrogate = unit;
      return length;
    }
    const low = unit >= 0xdc00 && unit < 0xe000;
    let point = unit;
    if (low) point = this.highSurrogate === 0 ? 0xfffd : 0x10000 + ((this.highSurrogate - 0xd800) << 10) + (unit - 0xdc00);
    this.highSurrogate = 0;
    for (const piece of Buffer.from(String.fromCodePoint(point), 'utf8')) {
      out[length] = piece;
      length += 1;
    }
    return length;
  }

  private hand(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.place === 'key') {
      this.key += Buffer.from(bytes).toString('latin1');
      if (this.key.length > LONGEST_KEY) throw this.wrong();
    } else if (this.key === 'result') this.result(bytes);
    else if (this.key === 'error' && this.errorLength < LONGEST_ERROR) {
      this.error.push(bytes);
      this.errorLength += bytes.length;
    }
  }

  private wrong(): AgentError {
    return new AgentError('E_PARSE', 'the answer is no JSON-RPC reply with a text', { object: this.peer });
  }
}

/** The end of the chunk where there is none. */
function positionOf(chunk: Uint8Array, byte: number, from: number): number {
  const at = chunk.indexOf(byte, from);
  return at === -1 ? chunk.length : at;
}
