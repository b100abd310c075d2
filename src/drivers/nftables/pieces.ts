/** Parts of the table as comparable values: what one compiled table, or one filter, needs in the kernel. */
import { hash32 } from '../../model/text-hash.js';
import type { CompiledTable, Side } from '../../compile/compiled.js';
import { CHAIN, SETS } from './base-layout.js';
import type { Dialect } from './dialect.js';
import { counter, jump, returns } from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { VERDICT } from './kernel.js';
import { asksForTypes, entryChain, tableChains } from './table-layout.js';
import { peersMatter, tableSets, usedSets, type TableSets } from './table-sets.js';
import type { TargetFilter } from '../../compile/target.js';
import type { Verdict } from './verdicts.js';

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

export function tablePiece(dialect: Dialect, key: string, compiled: CompiledTable): TablePiece {
  const prefix = tablePrefix(key);
  const names = tableSets(prefix);
  return {
    prefix, compiled, names,
    sets: new Map(usedSets(names, compiled).map((set) => [set.name, set])),
    chains: new Map(tableChains(dialect, prefix, names, compiled).map((chain) => [chain.name, chain])),
  };
}

/** The piece of a compilation that follows another: the same chains and sets where what they are made of is the same. */
export function nextTablePiece(dialect: Dialect, key: string, before: TablePiece, compiled: CompiledTable): TablePiece {
  return layoutFacts(before.names, before.compiled) === layoutFacts(before.names, compiled) ? { ...before, compiled } : tablePiece(dialect, key, compiled);
}

/** All that chains and sets depend on, as text: sets in use, constants in the rules, and which rules there are. */
export function layoutFacts(names: TableSets, compiled: CompiledTable): string {
  const sides = (['in', 'out'] as const).map((side) => {
    const { profiles, defaultProfile, guarded } = compiled.sides[side];
    const standard = profiles.get(defaultProfile);
    return [profiles.size > 1, defaultProfile, standard?.default4, standard?.default6, guarded.size > 0, peersMatter(compiled.sides[side])];
  });
  return JSON.stringify([usedSets(names, compiled).map(({ name }) => name), compiled.sourcePorts !== undefined, asksForTypes(compiled), sides]);
}

/** Chains and dispatch of one filter. */
export interface FilterPiece {
  readonly chains: ReadonlyMap<string, ChainImage>;
  readonly dispatch: Readonly<Record<'vnicIn' | 'vnicOut' | 'packetIn' | 'packetOut', Verdict>>;
}

/** Chain of a filter's side: first rule counts what is judged, second what is accepted. */
export function filterChain(filter: number, side: Side): string {
  return `f${filter}_${side}`;
}

export function filterPiece(filter: TargetFilter): FilterPiece {
  if (filter.table === undefined) {
    const verdict = { code: VERDICT.jump, chain: filter.failOpen ? CHAIN.open : CHAIN.closed };
    return { chains: new Map(), dispatch: { vnicIn: verdict, vnicOut: verdict, packetIn: verdict, packetOut: verdict } };
  }
  const prefix = tablePrefix(filter.table);
  const chains = (['in', 'out'] as const).map((side): ChainImage => ({
    name: filterChain(filter.number, side),
    // Judged less accepted = refused.
    rules: [rule('judged', counter, jump(entryChain(prefix, side, 'connection'))), rule('accepted', counter, returns)],
  }));
  const to = (chain: string): Verdict => ({ code: VERDICT.jump, chain });
  return {
    chains: new Map(chains.map((chain) => [chain.name, chain])),
    dispatch: {
      vnicIn: to(filterChain(filter.number, 'in')), vnicOut: to(filterChain(filter.number, 'out')),
      packetIn: to(entryChain(prefix, 'in', 'packet')), packetOut: to(entryChain(prefix, 'out', 'packet')),
    },
  };
}

export const DISPATCH_SETS = { vnicIn: SETS.vnicIn, vnicOut: SETS.vnicOut, packetIn: SETS.packetIn, packetOut: SETS.packetOut } as const;
