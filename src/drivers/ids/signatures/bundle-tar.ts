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
  // An entry's stream that ended with the archive's does not say so to who comes to read it later.
  const broken = new AbortController();
  const limited = AbortSignal.any([signal, broken.signal]);
  let failure: unknown;
  const feeding = pipeline(createReadStream(archive), createGunzip(), guard, tar, { signal }).catch((error: unknown) => {
    failure ??= error;
    broken.abort();
  });
  try {
    for await (const entry of tar) {
      const { name, type } = entry.header;
      current = name;
      // It is told again by the loop.
      entry.on('error', () => undefined);
      if (type === 'directory') entries.admitDirectory(name);
      else if (!PLAIN.has(type ?? 'file')) throw entries.refusal(name, `it is ${kindOf(type)}`);
      const path = type === 'directory' ? undefined : entries.admit(name);
      if (path === undefined) entry.resume();
      else await entries.write(path, () => entry, () => undefined, limited);
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

const WORDS: Readonly<Record<string, string>> = {
  symlink: 'a link', link: 'a link', 'character-device': 'a device', 'block-device': 'a device', fifo: 'a named pipe',
};

function kindOf(type: string | null | undefined): string {
  return WORDS[type ?? ''] ?? `neither a file nor a directory (${String(type)})`;
}
