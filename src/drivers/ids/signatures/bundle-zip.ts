import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { openPromise, type Entry } from 'yauzl';
import { describeError } from '../../../model/errors.js';
import type { BundleEntries } from './bundle-entries.js';

/** Upper half of the external attributes where the archive was made on a Unix: st_mode (APPNOTE.TXT of PKWARE, 4.4.15; inode(7)). */
const FILE_TYPE = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const STRONG_ENCRYPTION = 1 << 6;

/** Unpacks a zip archive. Encrypted entries and anything but files and directories are refused; sizes and checksums must be as the archive says. */
export async function unpackZip(archive: string, entries: BundleEntries, signal: AbortSignal): Promise<void> {
  let current = '';
  try {
    const zip = await openPromise(archive, { lazyEntries: true, autoClose: false, decodeStrings: true, validateEntrySizes: true, strictFileNames: true });
    try {
      for await (const entry of zip.eachEntry()) {
        signal.throwIfAborted();
        current = entry.fileName;
        const kind = checkKind(entry);
        if (kind !== undefined) throw entries.refusal(current, kind);
        if (entry.fileName.endsWith('/')) {
          entries.admitDirectory(current);
          continue;
        }
        const path = entries.admit(current);
        // Nothing is inflated for files that nobody needs: what they claim costs nothing.
        if (path === undefined) continue;
        let sum = 0;
        await entries.write(path, () => zip.openReadStreamPromise(entry).then(quiet), (chunk) => {
          entries.inflated(chunk.length, current);
          sum = crc32(chunk, sum);
        }, signal);
        if (sum !== entry.crc32) throw entries.refusal(current, 'it is damaged: its checksum is another');
      }
    } finally {
      zip.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    // The library's own check of names comes first.
    const words = describeError(error);
    if (words.startsWith('invalid relative path')) throw entries.refusal(words.slice(words.indexOf(':') + 2), 'the name leads out of the archive', error);
    if (words.startsWith('absolute path')) throw entries.refusal(words.slice(words.indexOf(':') + 2), 'the name is an absolute path', error);
    throw entries.broken(current, error);
  }
}

/** A stream whose errors come to whoever reads it, and never to nobody. */
function quiet(stream: Readable): Readable {
  return stream.on('error', () => undefined);
}

/** Why the entry is refused; undefined for plain files and directories. */
function checkKind(entry: Entry): string | undefined {
  if (entry.isEncrypted() || (entry.generalPurposeBitFlag & STRONG_ENCRYPTION) !== 0) return 'it is encrypted';
  const type = (entry.externalFileAttributes >>> 16) & FILE_TYPE;
  if (type === 0 || type === REGULAR || type === DIRECTORY) return undefined;
  return type === 0o120000 ? 'it is a link' : 'it is a device or another special file';
}
