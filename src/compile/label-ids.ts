/**
 * Label ids: the numbers that name a rule inside a connection's conntrack label.
 *
 * The kernel ORs new label bits into old ones, so every id is a 32-bit word with exactly 16 bits set: a mixture of two
 * different ids has more bits and can never be taken for an id. There are C(32,16) = 601,080,390 of them.
 */
import { hash32 } from '../model/text-hash.js';

const WIDTH = 32;
const WEIGHT = 16;

/** Binomial coefficients C(n, k) for n <= 32, k <= 16, by row. All fit a double exactly. */
function binomials(): readonly (readonly number[])[] {
  const rows: number[][] = [];
  for (let n = 0; n <= WIDTH; n += 1) {
    const row: number[] = [1];
    for (let k = 1; k <= Math.min(n, WEIGHT); k += 1) row.push((rows[n - 1]?.[k - 1] ?? 0) + (rows[n - 1]?.[k] ?? 0));
    rows.push(row);
  }
  return rows;
}

const BINOMIAL = binomials();
export const LABEL_ID_COUNT = BINOMIAL[WIDTH]?.[WEIGHT] ?? 0;

/** "No filter on this side of the connection": the smallest id. */
export const NOT_APPLICABLE_ID = 0x0000ffff;

/** The index-th word with 16 bits set in increasing order; index 0 is 0x0000ffff. */
export function labelIdAt(index: number): number {
  let rest = index;
  let word = 0;
  let ones = WEIGHT;
  for (let bit = WIDTH - 1; bit >= 0 && ones > 0; bit -= 1) {
    // Words of this length without this bit come first.
    const without = BINOMIAL[bit]?.[ones] ?? 0;
    if (rest >= without) {
      rest -= without;
      word |= 1 << bit;
      ones -= 1;
    }
  }
  return word >>> 0;
}

/** True when the word has exactly 16 bits set, that is: when it is an id at all. */
export function isLabelId(word: number): boolean {
  let bits = 0;
  for (let rest = word >>> 0; rest !== 0; rest &= rest - 1) bits += 1;
  return bits === WEIGHT;
}

/**
 * Gives label ids to keys (one key per rule and direction). The id is a hash of the key, so it is the same after a
 * restart; where two keys collide the later takes the next free index. `seed` restores what the kernel already holds
 * and must come before any new key.
 */
export class LabelIds {
  private readonly byKey = new Map<string, number>();
  private readonly byId = new Map<number, string>();

  seed(key: string, id: number): void {
    if (this.byKey.has(key) || this.byId.has(id) || !isLabelId(id)) return;
    this.byKey.set(key, id);
    this.byId.set(id, key);
  }

  id(key: string): number {
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    let index = 1 + (hash32(key) % (LABEL_ID_COUNT - 1));
    let id = labelIdAt(index);
    while (this.byId.has(id)) {
      index = 1 + (index % (LABEL_ID_COUNT - 1));
      id = labelIdAt(index);
    }
    this.byKey.set(key, id);
    this.byId.set(id, key);
    return id;
  }

  key(id: number): string | undefined {
    return this.byId.get(id);
  }

  /** Forgets keys, once no connection can carry their ids any more. */
  release(ids: Iterable<number>): void {
    for (const id of ids) {
      const key = this.byId.get(id);
      if (key === undefined) continue;
      this.byId.delete(id);
      this.byKey.delete(key);
    }
  }
}
