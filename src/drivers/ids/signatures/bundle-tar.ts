import { createReadStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { isAgentError } from '../../../model/errors.js';
import type { BundleEntries } from './bundle-entries.js';

const PLAIN = new Set(['file', 'contiguous-file']);

/** Unpacks a tar archive (POSIX ustar and pax, GNU) that gzip compressed. Anything but files and directories is refused. */
export async function unpackTar(archive: string, entries: BundleEntries, signal: AbortSignal): Promise<void> {
  let current = '';
  const guard = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      try {
        entries.inflated(chunk.length, current);
        done(undefined, chunk);
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
  const tar = extract();
  let failure: unknown;
  const feeding = pipeline(createReadStream(archive), createGunzip(), guard, tar, { signal }).catch((error: unknown) => {
    failure ??= error;
  });
  try {
    for await (const entry of tar) {
      const { name, type } = entry.header;
      current = name;
      if (type === 'directory') entries.admitDirectory(name);
      else if (!PLAIN.has(type ?? 'file')) throw entries.refusal(name, `it is ${kindOf(type)}`);
      const path = type === 'directory' ? undefined : entries.admit(name);
      if (path === undefined) entry.resume();
      else await entries.write(path, entry, () => undefined, signal);
    }
  } catch (error) {
    // What the source met says more than the stream's end that it led to.
    failure = isAgentError(error) ? error : (failure ?? error);
  }
  await feeding;
  if (failure === undefined) return;
  signal.throwIfAborted();
  throw entries.broken(current, failure);
}

function kindOf(type: string | null | undefined): string {
  switch (type) {
    case 'symlink':
    case 'link':
      return 'a link';
    case 'character-device':
    case 'block-device':
      return 'a device';
    case 'fifo':
      return 'a named pipe';
    default:
      return `neither a file nor a directory (${String(type)})`;
  }
}
