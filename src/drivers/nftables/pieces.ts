/** Parts of the table as comparable values: what one compiled table, or one filter, needs in the kernel. */
import { hash32 } from '../../model/text-hash.js';
import type { IntervalClasses } from '../../compile/classes.js';
import { nextKey6, type Key6 } from '../../compile/key6.js';
import type { CompiledTable, Side } from '../../compile/table.js';
import { CHAIN, SETS } from './base-layout.js';
import { counter, jump, returns } from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { VERDICT } from './kernel.js';
import { entryChain, profileChain, tableChains, tableSets, usedSets, type Mode, type TableSets } from './table-layout.js';
import type { TargetFilter } from './target.js';
import type { Verdict, VerdictElement } from './verdicts.js';

/** A compiled table with its kernel names. Derived once per compilation. */
export interface TablePiece {
  readonly prefix: string;
  readonly compiled: CompiledTable;
  readonly names: TableSets;
  readonly sets: ReadonlyMap<string, SetImage>;
  readonly chains: ReadonlyMap<string, ChainImage>;
}

/** Short, and safe in every nft version; 48 bits of the key's hash. */
export function tablePrefix(key: string): string {
  return `t${hash32(key).toString(16).padStart(8, '0')}${(hash32(key, 1) & 0xffff).toString(16).padStart(4, '0')}`;
}

export function tablePiece(key: string, compiled: CompiledTable): TablePiece {
  const prefix = tablePrefix(key);
  const names = tableSets(prefix);
  return {
    prefix, compiled, names,
    sets: new Map(usedSets(names, compiled).map((set) => [set.name, set])),
    chains: new Map(tableChains(prefix, names, compiled).map((chain) => [chain.name, chain])),
  };
}

/** Verdict maps from local addresses to profile chains. Key: latin1 text of the element key (and end). */
export function localVerdicts(piece: TablePiece | undefined): Map<string, Map<string, VerdictElement>> {
  const found = new Map<string, Map<string, VerdictElement>>();
  if (piece === undefined) return found;
  for (const side of ['in', 'out'] as const) {
    for (const mode of ['connection', 'packet'] as const) {
      const names = piece.names.locals[side][mode];
      const compiled = piece.compiled.sides[side];
      const to = verdictOf(piece, side, mode);
      found.set(names.hosts[4].name, new Map([...compiled.locals4].map(([address, profile]) => entry(bytes4(address), to(profile)))));
      found.set(names.hosts[6].name, new Map([...compiled.locals6].map(([address, profile]) => entry(bytes6(address), to(profile)))));
      found.set(names.intervals[4].name, intervals(compiled.localIntervals4, bytes4, (last) => (last === 0xffffffff ? undefined : last + 1), to));
      found.set(names.intervals[6].name, intervals(compiled.localIntervals6, bytes6, nextKey6, to));
    }
  }
  return found;
}

function verdictOf(piece: TablePiece, side: Side, mode: Mode): (profile: number) => Verdict {
  return (profile) => ({ code: VERDICT.goto, chain: profileChain(piece.prefix, side, mode, profile, piece.compiled.sides[side]) });
}

function entry(key: Uint8Array, verdict: Verdict, end?: Uint8Array): [string, VerdictElement] {
  const text = `${Buffer.from(key).toString('latin1')}|${end === undefined ? '' : Buffer.from(end).toString('latin1')}`;
  return [text, end === undefined ? { key, verdict } : { key, verdict, end }];
}

function intervals<T>(
  list: IntervalClasses<T>, bytes: (address: T) => Uint8Array, next: (address: T) => T | undefined, to: (profile: number) => Verdict,
): Map<string, VerdictElement> {
  const found = new Map<string, VerdictElement>();
  list.first.forEach((first, index) => {
    const last = list.last[index];
    if (last === undefined) return;
    const following = next(last);
    found.set(...entry(bytes(first), to(list.classes[index] ?? 0), following === undefined ? undefined : bytes(following)));
  });
  return found;
}

function bytes4(address: number): Uint8Array {
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
}

function bytes6(address: Key6): Uint8Array {
  return Uint8Array.from(address, (character) => character.charCodeAt(0));
}

/** Chains and dispatch of one filter. */
export interface FilterPiece {
  readonly chains: ReadonlyMap<string, ChainImage>;
  readonly dispatch: Readonly<Record<'vnicIn' | 'vnicOut' | 'packetIn' | 'packetOut', Verdict>>;
}

export function filterChain(filter: TargetFilter, side: Side): string {
  return `f${filter.number}_${side}`;
}

export function filterPiece(filter: TargetFilter): FilterPiece {
  if (filter.table === undefined) {
    const verdict = { code: VERDICT.jump, chain: filter.failOpen ? CHAIN.open : CHAIN.closed };
    return { chains: new Map(), dispatch: { vnicIn: verdict, vnicOut: verdict, packetIn: verdict, packetOut: verdict } };
  }
  const prefix = tablePrefix(filter.table);
  const chains = (['in', 'out'] as const).map((side): ChainImage => ({
    name: filterChain(filter, side),
    // Judged less accepted = refused.
    rules: [rule('judged', counter, jump(entryChain(prefix, side, 'connection'))), rule('accepted', counter, returns)],
  }));
  const to = (chain: string): Verdict => ({ code: VERDICT.jump, chain });
  return {
    chains: new Map(chains.map((chain) => [chain.name, chain])),
    dispatch: {
      vnicIn: to(filterChain(filter, 'in')), vnicOut: to(filterChain(filter, 'out')),
      packetIn: to(entryChain(prefix, 'in', 'packet')), packetOut: to(entryChain(prefix, 'out', 'packet')),
    },
  };
}

/** 16 bytes, zero padded: an interface name as the kernel keys it. */
export function interfaceKey(name: string): Uint8Array {
  const key = new Uint8Array(16);
  key.set(new TextEncoder().encode(name).subarray(0, 15));
  return key;
}

export const DISPATCH_SETS = { vnicIn: SETS.vnicIn, vnicOut: SETS.vnicOut, packetIn: SETS.packetIn, packetOut: SETS.packetOut } as const;
