/** A stream of bytes → its lines: one JSON object each in a watch (Kubernetes API concepts, "Efficient detection of changes"). Pure. */
import { AgentError } from '../../model/errors.js';
import { MAX_ITEM_BYTES } from './list-parser.js';

const NEWLINE = 0x0a;

export class LineSplitter {
  private partial: Uint8Array[] = [];
  private partialBytes = 0;

  /** The lines that this chunk completes, without their ends; empty ones are left out. Throws E_LIMIT when one is too long. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = this.take(chunk.subarray(start, end));
      if (line.trim() !== '') lines.push(line);
      start = end + 1;
    }
    if (start < chunk.length) {
      this.partial.push(Uint8Array.from(chunk.subarray(start)));
      this.partialBytes += chunk.length - start;
      if (this.partialBytes > MAX_ITEM_BYTES) throw new AgentError('E_LIMIT', `an event is larger than ${MAX_ITEM_BYTES} bytes`);
    }
    return lines;
  }

  private take(last: Uint8Array): string {
    const bytes = this.partialBytes === 0 ? last : Buffer.concat([...this.partial, last]);
    this.partial = [];
    this.partialBytes = 0;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  }
}
