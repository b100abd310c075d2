import { AgentError } from '../../../model/errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** RFC 7047 needs some ten levels. */
const DEEPEST = 64;

/**
 * Cuts a byte stream into its top-level JSON objects: JSON-RPC over a stream has neither lengths nor separators (RFC 7047,
 * section 4). Only white space may stand between objects. Errors are final, the stream cannot be read on: E_PARSE for what can begin or continue no
 * object, E_LIMIT for an object over `longest` bytes. Work and memory are linear in the input.
 */
export class JsonSplitter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;
  private depth = 0;
  private inString = false;
  private escaped = false;

  constructor(
    private readonly longest: number,
    /** What errors name. */
    private readonly peer: string,
  ) {}

  /** Calls `message` once for every object that is complete with this chunk, in order. The chunk is kept until its objects are complete. */
  push(chunk: Uint8Array, message: (object: unknown) => void): void {
    let begin = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.inString) {
        at = this.skipString(chunk, at);
        continue;
      }
      const byte = chunk[at] ?? 0;
      at += 1;
      if (this.depth === 0) {
        if (byte === 0x7b) {
          this.depth = 1;
          begin = at - 1;
        } else if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
          throw new AgentError('E_PARSE', `not JSON-RPC: byte 0x${byte.toString(16).padStart(2, '0')} where an object should begin`, { object: this.peer });
        }
      } else if (byte === QUOTE) this.inString = true;
      else if (byte === 0x7b || byte === 0x5b) {
        this.depth += 1;
        if (this.depth > DEEPEST) throw new AgentError('E_LIMIT', `JSON nested deeper than ${DEEPEST} levels`, { object: this.peer });
      } else if (byte === 0x7d || byte === 0x5d) {
        this.depth -= 1;
        if (this.depth === 0) message(this.take(chunk.subarray(begin, at)));
      }
    }
    if (this.depth > 0) this.keep(chunk.subarray(begin));
  }

  /** True between objects. */
  get empty(): boolean {
    return this.depth === 0;
  }

  /** The position after the string's end, or the chunk's end. `at` is never behind a lone backslash, except when `escaped` says so. */
  private skipString(chunk: Uint8Array, at: number): number {
    if (this.escaped) {
      this.escaped = false;
      return at + 1;
    }
    const quote = chunk.indexOf(QUOTE, at);
    const end = quote === -1 ? chunk.length : quote;
    let backslashes = 0;
    while (end - backslashes > at && chunk[end - backslashes - 1] === BACKSLASH) backslashes += 1;
    if (quote === -1) this.escaped = backslashes % 2 === 1;
    else if (backslashes % 2 === 0) this.inString = false;
    return quote === -1 ? end : end + 1;
  }

  private keep(part: Uint8Array): void {
    this.length += part.length;
    if (this.length > this.longest) throw new AgentError('E_LIMIT', `a JSON-RPC message is longer than ${this.longest} bytes`, { object: this.peer });
    this.parts.push(part);
  }

  private take(last: Uint8Array): unknown {
    this.keep(last);
    const text = Buffer.concat(this.parts).toString('utf8');
    this.parts.length = 0;
    this.length = 0;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new AgentError('E_PARSE', 'not JSON', { object: this.peer, cause });
    }
  }
}
