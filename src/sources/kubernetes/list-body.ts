/** The body of an answer as it came, and unpacked. */
import { createGunzip } from 'node:zlib';
import { Readable } from 'node:stream';

export interface ListBody {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** gzip. */
  readonly packed: boolean;
}

/** The default, 16 kB, costs more in calls than in unpacking. */
export const UNPACKED_CHUNK = 512 * 1024;

/** Ends, or fails, as the body does; what ends early ends the body. */
export function unpacked({ bytes, packed }: ListBody): AsyncIterable<Uint8Array> {
  if (!packed) return bytes;
  const body = bytes instanceof Readable ? bytes : Readable.from(bytes);
  const stream = createGunzip({ chunkSize: UNPACKED_CHUNK });
  body.on('error', (error: Error) => stream.destroy(error));
  stream.on('close', () => body.destroy());
  return body.pipe(stream);
}
