/**
 * Regions of one pair as wildcard matches. `compile/regions.ts` paints x = protocol * 65536 + port (ICMP: type * 256 + code) with one
 * winner each; a flow can match any protocol, one protocol, and within it what is maskable: the leading bits of a port, or one
 * ICMP type, or one type and code. The most specific match wins, so neighbours that agree share one, and the rest overrides it:
 * the construction of optimal routing tables (Draves et al., INFOCOM 1999), on a tree with these levels.
 */
import type { Segments } from '../../../compile/regions.js';

/** What a match says of the packet's protocol and port. */
export interface ServiceMatch {
  /** Undefined: any protocol. */
  readonly protocol: number | undefined;
  /** Leading bits of the 16-bit port (or type and code) that must agree: 0..16. For ICMP 0, 8 or 16. */
  readonly bits: number;
  /** The port, with zeros after its leading bits. */
  readonly port: number;
  readonly winner: number;
}

/** Levels below the protocol: how a protocol's port slot may be matched. */
export type PortShape = 'ports' | 'types' | 'none';

const TYPES: ReadonlySet<number> = new Set([1, 58]);
/** Protocols whose ports OpenFlow can match. DCCP and UDP-Lite are tracked by ports, but not matched by them. */
const PORTS: ReadonlySet<number> = new Set([6, 17, 132]);

export function portShape(protocol: number): PortShape {
  return TYPES.has(protocol) ? 'types' : PORTS.has(protocol) ? 'ports' : 'none';
}

/**
 * Matches, fewest that this construction knows. `open`: the winner that needs no match, because what no match covers is decided
 * elsewhere; undefined where every x must be covered. Order is that of protocols, and from general to specific.
 */
export function coverServices(segments: Segments, open: number | undefined): ServiceMatch[] {
  return new Cover(segments).matches(open);
}

/** Winners that a part of the tree could have as its most general one. */
type Candidates = number | readonly number[];

/** A block of ports with one winner, or its halves. */
type PortTree = number | { readonly candidates: Candidates; readonly low: PortTree; readonly high: PortTree };

class Cover {
  private readonly starts: Uint32Array;
  private readonly winners: Uint32Array;
  private readonly found: ServiceMatch[] = [];
  private readonly trees = new Map<number, PortTree>();

  constructor(segments: Segments) {
    this.starts = segments.starts;
    this.winners = segments.winners;
  }

  matches(open: number | undefined): ServiceMatch[] {
    const counts = new Map<number, number>();
    const add = (winner: number, protocols: number): void => void counts.set(winner, (counts.get(winner) ?? 0) + protocols);
    this.protocols((first, number, winner) => {
      if (winner !== undefined) add(winner, number);
      else for (const candidate of list(this.protocolCandidates(first))) add(candidate, 1);
    });
    const opened = open === undefined ? undefined : (counts.get(open) ?? 0);
    let base = open;
    let best = 0;
    for (const [winner, count] of counts) {
      // A match for all protocols must pay for itself where nothing need be covered.
      if (winner === open || count <= best || (opened !== undefined && count - 1 <= opened)) continue;
      base = winner;
      best = count;
    }
    if (base !== undefined && base !== open) this.found.push({ protocol: undefined, bits: 0, port: 0, winner: base });
    this.protocols((first, number, winner) => {
      if (winner !== undefined && winner === base) return;
      for (let protocol = first; protocol < first + number; protocol += 1) this.protocol(protocol, base ?? -1);
    });
    return this.found;
  }

  /** All protocols in order: neighbours that one segment decides come at once, with its winner. */
  private protocols(visit: (first: number, number: number, winner: number | undefined) => void): void {
    for (let protocol = 0, segment = 0; protocol < 256;) {
      const first = protocol << 16;
      while ((this.starts[segment + 1] ?? Infinity) <= first) segment += 1;
      const alike = Math.min(256, Math.floor((this.starts[segment + 1] ?? Infinity) / 0x1_0000)) - protocol;
      if (alike > 0) visit(protocol, alike, this.winners[segment] ?? 0);
      else visit(protocol, 1, undefined);
      protocol += Math.max(1, alike);
    }
  }

  private protocolCandidates(protocol: number): Candidates {
    const first = protocol << 16;
    const shape = portShape(protocol);
    // Without ports the slot holds 0.
    if (shape === 'none' || this.uniform(first, 16)) return this.winnerAt(first);
    return shape === 'ports' ? candidatesIn(this.portTree(protocol)) : this.typeCandidates(first);
  }

  private protocol(protocol: number, inherited: number): void {
    const first = protocol << 16;
    const shape = portShape(protocol);
    const emit = (bits: number, port: number, winner: number): void => void this.found.push({ protocol, bits, port, winner });
    if (shape === 'none' || this.uniform(first, 16)) choose(this.winnerAt(first), inherited, (winner) => emit(0, 0, winner));
    else if (shape === 'ports') ports(this.portTree(protocol), first, 16, inherited, emit);
    else this.types(first, inherited, emit);
  }

  // ---- Ports: a binary tree -----------------------------------------------------------------------------------------

  private portTree(protocol: number): PortTree {
    const known = this.trees.get(protocol);
    if (known !== undefined) return known;
    const tree = this.tree(protocol << 16, 16);
    this.trees.set(protocol, tree);
    return tree;
  }

  /** Of the aligned block of 2^bits numbers from `first`. */
  private tree(first: number, bits: number): PortTree {
    if (this.uniform(first, bits)) return this.winnerAt(first);
    const low = this.tree(first, bits - 1);
    const high = this.tree(first + 2 ** (bits - 1), bits - 1);
    return { candidates: combine(candidatesIn(low), candidatesIn(high)), low, high };
  }

  private uniform(first: number, bits: number): boolean {
    return (this.starts[this.segmentAt(first) + 1] ?? Infinity) >= first + 2 ** bits;
  }

  // ---- ICMP: types, then codes ----------------------------------------------------------------------------------------

  private typeCandidates(first: number): Candidates {
    return mostFrequent(256, (type) => this.codeCandidates(first + type * 256));
  }

  private codeCandidates(first: number): Candidates {
    return this.uniform(first, 8) ? this.winnerAt(first) : mostFrequent(256, (code) => this.winnerAt(first + code));
  }

  private types(first: number, inherited: number, emit: (bits: number, port: number, winner: number) => void): void {
    const winner = choose(this.typeCandidates(first), inherited, (chosen) => emit(0, 0, chosen));
    if (this.uniform(first, 16)) return;
    for (let type = 0; type < 256; type += 1) {
      const at = first + type * 256;
      const own = choose(this.codeCandidates(at), winner, (chosen) => emit(8, type * 256, chosen));
      if (this.uniform(at, 8)) continue;
      for (let code = 0; code < 256; code += 1) {
        const exact = this.winnerAt(at + code);
        if (exact !== own) emit(16, type * 256 + code, exact);
      }
    }
  }

  // ---- Segments -----------------------------------------------------------------------------------------------------

  private winnerAt(x: number): number {
    return this.winners[this.segmentAt(x)] ?? 0;
  }

  /** Index of the segment that holds x. */
  private segmentAt(x: number): number {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.starts[middle] ?? 0) <= x) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function candidatesIn(tree: PortTree): Candidates {
  return typeof tree === 'number' ? tree : tree.candidates;
}

/** `first`: the first port of the tree's block of 2^bits. */
function ports(tree: PortTree, first: number, bits: number, inherited: number, emit: (bits: number, port: number, winner: number) => void): void {
  const winner = choose(candidatesIn(tree), inherited, (chosen) => emit(16 - bits, first & 0xffff, chosen));
  if (typeof tree === 'number') return;
  ports(tree.low, first, bits - 1, winner, emit);
  ports(tree.high, first + 2 ** (bits - 1), bits - 1, winner, emit);
}

function list(candidates: Candidates): readonly number[] {
  return typeof candidates === 'number' ? [candidates] : candidates;
}

function has(candidates: Candidates, winner: number): boolean {
  return typeof candidates === 'number' ? candidates === winner : candidates.includes(winner);
}

function choose(candidates: Candidates, inherited: number, emit: (winner: number) => void): number {
  if (has(candidates, inherited)) return inherited;
  const winner = typeof candidates === 'number' ? candidates : (candidates[0] ?? 0);
  emit(winner);
  return winner;
}

/** What both halves could have, else what either could. */
function combine(a: Candidates, b: Candidates): Candidates {
  if (typeof a === 'number' && typeof b === 'number') return a === b ? a : [a, b];
  const left = list(a);
  const right = list(b);
  const common = left.filter((winner) => right.includes(winner));
  return common.length > 0 ? one(common) : one([...left, ...right.filter((winner) => !left.includes(winner))]);
}

function one(winners: readonly number[]): Candidates {
  const [only] = winners;
  return winners.length === 1 && only !== undefined ? only : winners;
}

/** Of many children: the winners that most of them could have. */
function mostFrequent(children: number, candidatesOf: (child: number) => Candidates): Candidates {
  const counts = new Map<number, number>();
  let best = 0;
  for (let child = 0; child < children; child += 1) {
    const candidates = candidatesOf(child);
    for (const winner of list(candidates)) {
      const count = (counts.get(winner) ?? 0) + 1;
      counts.set(winner, count);
      if (count > best) best = count;
    }
  }
  return one([...counts].filter(([, count]) => count === best).map(([winner]) => winner));
}
