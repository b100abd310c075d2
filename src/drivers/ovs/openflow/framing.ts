/** A byte stream, cut into OpenFlow messages. */
import { malformed, readU16 } from './bytes.js';
import { HEADER_LENGTH } from './constants.js';

/**
 * Keeps at most one unfinished message, so never more than 64 KiB. A length below that of a header is E_PARSE, and the
 * stream is lost from there on: nobody can say where the next message begins.
 */
export class MessageSplitter {
  #partial: Buffer | undefined;
  #have = 0;
  /** Bytes that the message in `partial` has; 0 while its header is incomplete. */
  #want = 0;

  /** Bytes of an unfinished message. */
  get pending(): number {
    return this.#have;
  }

  /**
   * Calls `use` for every message that `chunk` completes, in order. Messages that lie whole in the chunk share its memory;
   * whoever keeps one keeps the chunk. What `use` throws goes through, with the rest of the chunk unread.
   */
  push(chunk: Buffer, use: (message: Buffer) => void): void {
    let at = this.#have === 0 ? 0 : this.#fill(chunk, use);
    while (chunk.length - at >= HEADER_LENGTH) {
      const length = checkedLength(chunk, at);
      if (length > chunk.length - at) break;
      use(chunk.subarray(at, at + length));
      at += length;
    }
    const left = chunk.length - at;
    if (left <= 0) return;
    // A message that waits for its end gets memory of its own length: the chunk may be large.
    this.#want = left >= HEADER_LENGTH ? checkedLength(chunk, at) : 0;
    this.#partial = Buffer.allocUnsafe(this.#want === 0 ? HEADER_LENGTH : this.#want);
    chunk.copy(this.#partial, 0, at);
    this.#have = left;
  }

  /** Completes the unfinished message; returns how much of the chunk that took. */
  #fill(chunk: Buffer, use: (message: Buffer) => void): number {
    let at = 0;
    while (this.#have > 0) {
      const partial = this.#partial ?? Buffer.alloc(HEADER_LENGTH);
      const target = this.#want === 0 ? HEADER_LENGTH : this.#want;
      const taken = Math.min(target - this.#have, chunk.length - at);
      chunk.copy(partial, this.#have, at, at + taken);
      at += taken;
      this.#have += taken;
      if (this.#have < target) return chunk.length;
      if (this.#want === 0) {
        this.#want = checkedLength(partial, 0);
        const whole = Buffer.allocUnsafe(this.#want);
        partial.copy(whole, 0, 0, HEADER_LENGTH);
        this.#partial = whole;
        if (this.#want > HEADER_LENGTH) continue;
      }
      const message = this.#partial ?? partial;
      this.#partial = undefined;
      this.#have = 0;
      this.#want = 0;
      use(message);
    }
    return at;
  }
}

function checkedLength(bytes: Uint8Array, at: number): number {
  const length = readU16(bytes, at + 2);
  if (length < HEADER_LENGTH) throw malformed('a message is shorter than its header', { length });
  return length;
}
