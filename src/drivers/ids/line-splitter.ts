const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines. A line longer than the limit is dropped whole and counted, so that what is kept never
 * exceeds one line; it may come in any number of pieces.
 */
export class LineSplitter {
  #pieces: Buffer[] = [];
  #length = 0;
  #skipping = false;
  #oversized = 0;

  constructor(private readonly longestLine: number) {}

  /** Lines dropped for their length. */
  get oversized(): number {
    return this.#oversized;
  }

  /** Bytes of an unfinished line, 0 between lines. */
  get pending(): number {
    return this.#length;
  }

  /** Complete lines without their newline; empty lines are left out. The buffer may be reused afterwards. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#append(chunk.subarray(start, end));
      start = end + 1;
      if (this.#skipping) this.#skipping = false;
      else if (this.#length > 0) lines.push(this.#take());
    }
    this.#append(chunk.subarray(start));
    return lines;
  }

  /** Forgets an unfinished line. */
  reset(): void {
    this.#pieces = [];
    this.#length = 0;
    this.#skipping = false;
  }

  /** The next bytes belong to a line whose beginning is unknown: it is left out, not counted. */
  skipToNextLine(): void {
    this.reset();
    this.#skipping = true;
  }

  #append(piece: Buffer): void {
    if (this.#skipping || piece.length === 0) return;
    if (this.#length + piece.length > this.longestLine) {
      this.reset();
      this.#skipping = true;
      this.#oversized += 1;
      return;
    }
    this.#pieces.push(Buffer.from(piece));
    this.#length += piece.length;
  }

  #take(): string {
    const line = Buffer.concat(this.#pieces, this.#length).toString('utf8');
    this.reset();
    return line;
  }
}
