/**
 * Length-prefixed messages of TCP streams, of which one direction is seen. Segments are taken in order; a stream with a gap is
 * given up until it begins a message anew: then its reply is not learned, and nothing else happens. Bounded in streams and bytes.
 */
export interface Segment {
  readonly sequence: number;
  /** Has SYN. */
  readonly begins: boolean;
  /** Has FIN or RST. */
  readonly ends: boolean;
  readonly data: Uint8Array;
}

interface Stream {
  /** Sequence number of the next byte. */
  next: number;
  pending: Uint8Array;
}

const STREAMS = 256;
const PREFIX = 2;

export class StreamMessages {
  /** Least recently used first. */
  private readonly streams = new Map<string, Stream>();

  /** The messages that this segment completes. A stream that was not seen from its start is taken to begin with a message here. */
  take(key: string, { sequence, begins, ends, data }: Segment): Uint8Array[] {
    const known = begins ? undefined : this.streams.get(key);
    this.streams.delete(key);
    const start = (sequence + (begins ? 1 : 0)) >>> 0;
    if (known === undefined && data.length === 0 && !begins) return [];
    const stream = known ?? { next: start, pending: new Uint8Array(0) };
    // Distance on the circle of sequence numbers (RFC 9293 section 3.4): below 0 was sent before.
    const ahead = (start - stream.next) | 0;
    let fresh = data;
    if (ahead < 0) fresh = data.subarray(-ahead);
    else if (ahead > 0) stream.pending = new Uint8Array(0);
    if (ahead >= 0 || fresh.length > 0) stream.next = (start + data.length) >>> 0;
    const messages = this.cut(stream, fresh);
    if (!ends) {
      this.streams.set(key, stream);
      for (const old of this.streams.keys()) {
        if (this.streams.size <= STREAMS) break;
        this.streams.delete(old);
      }
    }
    return messages;
  }

  private cut(stream: Stream, data: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    let bytes = joined(stream.pending, data);
    while (bytes.length >= PREFIX) {
      const end = PREFIX + ((bytes[0] ?? 0) << 8 | (bytes[1] ?? 0));
      if (bytes.length < end) break;
      messages.push(bytes.subarray(PREFIX, end));
      bytes = bytes.subarray(end);
    }
    stream.pending = bytes.slice();
    return messages;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
