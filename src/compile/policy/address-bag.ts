/**
 * The addresses of a set, counted: an address that two members share stays until both let go. A snapshot is an immutable list;
 * the next one knows what came and went since, so that nobody has to compare long lists.
 */
export interface BagSnapshot {
  readonly members: readonly string[];
  /** Present unless this is the first one. */
  readonly change?: { readonly base: readonly string[]; readonly added: readonly string[]; readonly removed: readonly string[] };
}

export class AddressBag {
  private readonly counts = new Map<string, number>();
  private readonly positions = new Map<string, number>();
  private readonly list: string[] = [];
  /** Addresses whose count went from or to 0 since the snapshot. */
  private readonly touched = new Set<string>();
  private last: BagSnapshot | undefined;

  add(address: string): void {
    const count = this.counts.get(address) ?? 0;
    this.counts.set(address, count + 1);
    if (count === 0) this.touched.add(address);
  }

  /** An address that is not here is ignored. */
  remove(address: string): void {
    const count = this.counts.get(address);
    if (count === undefined) return;
    if (count > 1) {
      this.counts.set(address, count - 1);
      return;
    }
    this.counts.delete(address);
    this.touched.add(address);
  }

  clear(): void {
    for (const address of this.counts.keys()) this.touched.add(address);
    this.counts.clear();
  }

  /** The same object as long as nothing changed. */
  snapshot(): BagSnapshot {
    if (this.last !== undefined && this.touched.size === 0) return this.last;
    const added: string[] = [];
    const removed: string[] = [];
    for (const address of this.touched) {
      const has = this.counts.has(address);
      if (has === this.positions.has(address)) continue;
      if (has) {
        this.positions.set(address, this.list.length);
        this.list.push(address);
        added.push(address);
      } else {
        this.take(address);
        removed.push(address);
      }
    }
    this.touched.clear();
    if (this.last !== undefined && added.length + removed.length === 0) return this.last;
    const base = this.last?.members;
    this.last = { members: [...this.list], ...(base === undefined ? {} : { change: { base, added, removed } }) };
    return this.last;
  }

  private take(address: string): void {
    const position = this.positions.get(address) ?? 0;
    this.positions.delete(address);
    const end = this.list.pop();
    if (end === undefined || end === address) return;
    this.list[position] = end;
    this.positions.set(end, position);
  }
}
