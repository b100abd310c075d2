/** The body of a list response → its items, trimmed, some at a time. */
import { Turns } from '../../platform/turns.js';
import { unpacked, type ListBody } from './list-body.js';
import { ListParser, type ListEnvelope } from './list-parser.js';
import { itemShape, itemTrimmer, type ItemKind, type TrimmedItem } from './trimmed-item.js';
import { ValuePool } from './value-pool.js';

export interface ListReader {
  /** Gives items as they arrive, and at last what stands around them. Throws E_PARSE or E_LIMIT, and what the body throws. */
  read(body: ListBody, kind: ItemKind): AsyncGenerator<readonly TrimmedItem[], ListEnvelope>;
  close(): Promise<void>;
}

/** In this thread, in portions. */
export class InlineListReader implements ListReader {
  async *read(body: ListBody, kind: ItemKind): AsyncGenerator<readonly TrimmedItem[], ListEnvelope> {
    const parser = new ListParser(itemShape(kind));
    const turns = new Turns();
    const trim = itemTrimmer(kind, kind.apiVersion, new ValuePool());
    for await (const chunk of unpacked(body)) {
      for (let at = 0; at < chunk.length; at += PORTION) {
        yield trimAll(parser.push(chunk.subarray(at, at + PORTION)), trim);
        await turns.breathe();
      }
    }
    return parser.finish();
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Bytes parsed at a time: some milliseconds. */
const PORTION = 256 * 1024;

export function trimAll(items: readonly unknown[], trim: (item: unknown) => TrimmedItem | undefined): TrimmedItem[] {
  const trimmed: TrimmedItem[] = [];
  for (const item of items) {
    const one = trim(item);
    if (one !== undefined) trimmed.push(one);
  }
  return trimmed;
}
