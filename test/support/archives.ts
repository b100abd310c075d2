/** Archives as a test wants them, also such as no honest program writes. */
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { pack, type Headers } from 'tar-stream';

export interface TarEntry { readonly name: string; readonly content?: string | Buffer; readonly type?: NonNullable<Headers['type']>; readonly linkname?: string }

export async function tarGz(entries: readonly TarEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content = '', type = 'file', linkname } of entries) {
    tar.entry({ name, type, ...(linkname === undefined ? {} : { linkname }) }, type === 'file' ? content : '');
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk);
  return gzipSync(Buffer.concat(chunks));
}

export interface ZipEntry {
  readonly name: string;
  readonly content?: string | Buffer;
  /** st_mode, in the upper half of the external attributes. */
  readonly mode?: number;
  /** General purpose bit flags; 1 is encrypted. */
  readonly flags?: number;
  /** What the archive claims instead of the truth. */
  readonly claimedSize?: number;
  readonly claimedSum?: number;
}

/** APPNOTE.TXT of PKWARE, 4.3.7, 4.3.12 and 4.3.16: local headers with data, the central directory, its end. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content = '', mode = 0o100644, flags = 0, claimedSize, claimedSum } of entries) {
    const plain = Buffer.from(content);
    const data = deflateRawSync(plain);
    const path = Buffer.from(name, 'latin1');
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(claimedSum ?? crc32(plain), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(claimedSize ?? plain.length, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, path, data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    // Made by a Unix: version made by, upper byte 3.
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, path]));
    parts.push(local);
    offset += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, list, end]);
}
