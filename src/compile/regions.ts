/**
 * First match over protocol and port. A packet's protocol and destination port (ICMP: type and code) make one number
 * x = protocol * 65536 + port in [0, 2^24). A rule covers some intervals of x; painting an ordered list of rules gives the
 * winner of every x as a list of segments.
 */
export const SPACE = 1 << 24;
/** Winner of an x that no rule covers. */
export const NOBODY = 0x7fffffff;

/** Segment i covers starts[i] .. starts[i+1]-1 (the last one up to 2^24-1); starts[0] is 0. Neighbours have different winners. */
export interface Segments {
  readonly starts: Uint32Array;
  readonly winners: Uint32Array;
}

/** Intervals of x as a flat list of inclusive pairs. */
export type Intervals = Uint32Array;

/**
 * Winner (smallest position) of every x among rules given in increasing position. `intervals[position]` are the rule's.
 * Cost O(m log m + segments) for m intervals: covered cells are skipped through a union-find of next free cells.
 */
export function paint(positions: ArrayLike<number>, intervals: readonly Intervals[]): Segments {
  const bounds: number[] = [0];
  for (let i = 0; i < positions.length; i += 1) {
    const list = intervals[positions[i] ?? 0] ?? new Uint32Array(0);
    let whole = false;
    for (let j = 0; j < list.length; j += 2) {
      const first = list[j] ?? 0;
      const last = list[j + 1] ?? 0;
      if (first === 0 && last === SPACE - 1) whole = true;
      bounds.push(first);
      if (last + 1 < SPACE) bounds.push(last + 1);
    }
    // Nothing after a rule that covers everything can win.
    if (whole) break;
  }
  const cells = Uint32Array.from(bounds).sort();
  let count = 0;
  for (let i = 0; i < cells.length; i += 1) {
    const value = cells[i] ?? 0;
    if (i === 0 || value !== cells[count - 1]) {
      cells[count] = value;
      count += 1;
    }
  }
  const winner = new Uint32Array(count).fill(NOBODY);
  const next = new Uint32Array(count + 1);
  for (let i = 0; i <= count; i += 1) next[i] = i;
  const free = (cell: number): number => {
    let root = cell;
    while ((next[root] ?? root) !== root) root = next[root] ?? root;
    let walk = cell;
    while (walk !== root) {
      const following = next[walk] ?? root;
      next[walk] = root;
      walk = following;
    }
    return root;
  };
  let uncovered = count;
  for (let i = 0; i < positions.length && uncovered > 0; i += 1) {
    const position = positions[i] ?? 0;
    const list = intervals[position] ?? new Uint32Array(0);
    for (let j = 0; j < list.length; j += 2) {
      const end = (list[j + 1] ?? 0) + 1;
      for (let cell = free(lowerBound(cells, count, list[j] ?? 0)); cell < count && (cells[cell] ?? 0) < end; cell = free(cell)) {
        winner[cell] = position;
        next[cell] = cell + 1;
        uncovered -= 1;
      }
    }
  }
  return compact(cells.subarray(0, count), winner);
}

/**
 * As paint, where rules stand in sections (ascending with position) and some of them pass: an x whose first match in a section passes
 * is decided by the sections after it.
 */
export function paintSections(
  positions: Uint32Array, intervals: readonly Intervals[], sectionOf: (position: number) => number, passes: (position: number) => boolean,
): Segments {
  let painted: Segments | undefined;
  for (let from = 0; from < positions.length;) {
    const section = sectionOf(positions[from] ?? 0);
    let to = from + 1;
    while (to < positions.length && sectionOf(positions[to] ?? 0) === section) to += 1;
    const own = translate(paint(positions.subarray(from, to), intervals), (winner) => (winner !== NOBODY && passes(winner) ? NOBODY : winner));
    painted = painted === undefined ? own : merge(painted, own);
    from = to;
  }
  return painted ?? paint(positions, intervals);
}

/** Smallest winner of two paintings at every x. */
export function merge(a: Segments, b: Segments): Segments {
  return zip(a, b, Math.min);
}

function zip(a: Segments, b: Segments, choose: (a: number, b: number) => number): Segments {
  const size = a.starts.length + b.starts.length;
  const starts = new Uint32Array(size);
  const winners = new Uint32Array(size);
  let count = 0;
  let i = 0;
  let j = 0;
  while (i < a.starts.length || j < b.starts.length) {
    const nextA = i < a.starts.length ? (a.starts[i] ?? 0) : SPACE;
    const nextB = j < b.starts.length ? (b.starts[j] ?? 0) : SPACE;
    const start = Math.min(nextA, nextB);
    if (nextA === start) i += 1;
    if (nextB === start) j += 1;
    const value = choose(a.winners[i - 1] ?? NOBODY, b.winners[j - 1] ?? NOBODY);
    if (count > 0 && winners[count - 1] === value) continue;
    starts[count] = start;
    winners[count] = value;
    count += 1;
  }
  return { starts: starts.slice(0, count), winners: winners.slice(0, count) };
}

/** Winner of an x that a sparse painting leaves to the painting under it. No label id is 0. */
export const UNDERLYING = 0;

/**
 * Where `top` wins over `under` (smaller position), its winner; elsewhere UNDERLYING. Laid over `under` it gives merge(top, under).
 */
export function sparse(top: Segments, under: Segments, mapping: (winner: number) => number): Segments {
  return zip(top, under, (a, b) => (a < b ? mapping(a) : UNDERLYING));
}

/**
 * The winners of `top` wherever `touched` has any; elsewhere UNDERLYING. Laid over the painting under both it gives `top`, where nothing
 * but what touches it told `top` apart.
 */
export function touching(top: Segments, touched: Segments, mapping: (winner: number) => number): Segments {
  return zip(top, touched, (a, b) => (b === NOBODY ? UNDERLYING : mapping(a)));
}

/** A sparse painting laid over the one under it. */
export function overlay(top: Segments, under: Segments): Segments {
  return zip(top, under, (a, b) => (a === UNDERLYING ? b : a));
}

/** Replaces winners by `translate(winner)` and joins neighbours that become equal. */
export function translate(segments: Segments, mapping: (winner: number) => number): Segments {
  const winners = new Uint32Array(segments.winners.length);
  for (let i = 0; i < winners.length; i += 1) winners[i] = mapping(segments.winners[i] ?? NOBODY);
  return compact(segments.starts, winners);
}

/** The winner at x. */
export function winnerAt(segments: Segments, x: number): number {
  return segments.winners[upperBound(segments.starts, segments.starts.length, x) - 1] ?? NOBODY;
}

export function equalSegments(a: Segments, b: Segments): boolean {
  if (a === b) return true;
  if (a.starts.length !== b.starts.length) return false;
  for (let i = 0; i < a.starts.length; i += 1) if (a.starts[i] !== b.starts[i] || a.winners[i] !== b.winners[i]) return false;
  return true;
}

function compact(starts: Uint32Array, winners: Uint32Array): Segments {
  let count = 0;
  const outStarts = new Uint32Array(starts.length);
  const outWinners = new Uint32Array(starts.length);
  for (let i = 0; i < starts.length; i += 1) {
    if (count > 0 && outWinners[count - 1] === winners[i]) continue;
    outStarts[count] = starts[i] ?? 0;
    outWinners[count] = winners[i] ?? NOBODY;
    count += 1;
  }
  return { starts: outStarts.slice(0, count), winners: outWinners.slice(0, count) };
}

/** First index with values[index] >= key. */
function lowerBound(values: Uint32Array, count: number, key: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** First index with values[index] > key. */
function upperBound(values: Uint32Array, count: number, key: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}
