/**
 * After a restart: is what the kernel enforces exactly what shall be enforced? Then nothing is written, and the agent
 * takes over where it left off, unfinished sweeps included.
 */
import type { LabelInfo } from '../../compile/compiled.js';
import type { ElementDump } from '../../native/binding.js';
import { ICMP_PROTOCOLS, PORT_PROTOCOLS, SETS } from './base-layout.js';
import { Block, equalsDump } from './blocks.js';
import type { Dialect } from './dialect.js';
import type { ChainImage, SetImage } from './image.js';
import { interfaceKey } from './interface-key.js';
import { DISPATCH_SETS, type TablePiece } from './pieces.js';
import { memberBlock, NOTHING, plan, type Actual, type PlanOptions } from './plan.js';
import type { ReadVerdict, TableReader } from './reader.js';
import { elementChanges } from './table-elements.js';
import { keepsConnections, type Target } from '../../compile/target.js';
import { CODE_VERDICTS, logChain, logChainImage, logVerdicts, PACKET_CODE_VERDICTS, type VerdictElement } from './verdicts.js';

export interface Adoption {
  /** Undefined: the kernel differs; `difference` says where it was first seen. */
  readonly actual: Actual | undefined;
  readonly difference: string;
}

/** `idle`: tables that are to go, and may be there. */
export async function adopt(
  reader: TableReader, target: Target, options: PlanOptions, depth: 'structure' | 'all', idle: Actual['idle'] = new Map(),
): Promise<Adoption> {
  const differs = (difference: string): Adoption => ({ actual: undefined, difference });
  const state = await reader.state();
  if (state !== 'active') return differs(`table is ${state}`);
  const wanted = plan(NOTHING, target, options).next;

  const kernelIds = new Map((await reader.verdicts(SETS.ids)).map((element) => [idOf(element.key), element.comment]));
  for (const [id, label] of wanted.labels) if (kernelIds.get(id) !== label.key.slice(0, 120)) return differs(`label id ${id.toString(16)} of ${label.key} is absent`);
  const liveDump = await reader.elements(SETS.live);
  const live = new Set(words(liveDump));

  const retired = new Set([...kernelIds.keys()].filter((id) => !wanted.labels.has(id)));
  const probation = new Set([...wanted.live].filter((id) => !live.has(id)));
  for (const id of live) if (!wanted.live.has(id)) return differs(`label id ${id.toString(16)} is in force`);
  for (const id of probation) if (options.always.includes(id)) return differs('the not-applicable id is not in force');

  const chainDifference = await compareChains(reader, expectedChains(wanted, options), retired.size > 0, new Set([...idle.values()].flatMap(({ chains }) => [...chains.keys()])));
  if (chainDifference !== undefined) return differs(chainDifference);
  const setDifference = await compareSets(reader, options.dialect, wanted, retired, depth, new Set([...idle.values()].flatMap(({ sets }) => [...sets.keys()])));
  if (setDifference !== undefined) return differs(setDifference);

  const labels = new Map(wanted.labels);
  // What stands for them goes with them, after the sweep.
  const [chains, stateless] = retired.size === 0 ? [new Set<string>(), new Set<number>()] : [await reader.chains(), new Set(words(await reader.elements(SETS.stateless)))];
  for (const id of retired) {
    const label: LabelInfo = { id, key: kernelIds.get(id) ?? '', table: '', ruleId: 0, side: 'in', action: 'drop', log: false, stateless: stateless.has(id) };
    labels.set(id, { ...label, log: chains.has(logChain(label)) });
  }
  const kept = new Set([...wanted.labels.values()].filter(keepsConnections).map((label) => label.id));
  return {
    actual: {
      ...wanted, labels, live: new Set([...wanted.live].filter((id) => live.has(id))), probation: new Set([...probation].filter((id) => kept.has(id))), retired,
      // Which of them lost something before the end of an earlier process, nobody knows any more.
      refused: new Set([...wanted.labels.keys()].filter((id) => !kept.has(id))),
    },
    difference: '',
  };
}

/** Every chain that the kernel has then, by name. */
export function expectedChains(wanted: Actual, options: PlanOptions): Map<string, ChainImage> {
  const chains = new Map(options.dialect.chains.map((chain) => [chain.name, chain]));
  for (const table of wanted.tables.values()) for (const [name, chain] of table.chains) chains.set(name, chain);
  for (const filter of wanted.filters.values()) for (const [name, chain] of filter.chains) chains.set(name, chain);
  for (const label of wanted.labels.values()) {
    if (!label.log) continue;
    const chain = logChainImage(options.dialect, label, options.logGroup);
    chains.set(chain.name, chain);
  }
  return chains;
}

/** `extraLogs`: log chains of retired ids may stand around. */
async function compareChains(reader: TableReader, expected: ReadonlyMap<string, ChainImage>, extraLogs: boolean, idle: ReadonlySet<string>): Promise<string | undefined> {
  const have = await reader.chains();
  const rules = await reader.rules();
  for (const name of have) if (!expected.has(name) && !idle.has(name) && !(extraLogs && name.startsWith('log_'))) return `chain ${name} is not ours`;
  for (const [name, chain] of expected) {
    if (!have.has(name)) return `chain ${name} is absent`;
    const list = rules.get(name) ?? [];
    if (list.length !== chain.rules.length) return `chain ${name} has ${list.length} rules, not ${chain.rules.length}`;
    const index = chain.rules.findIndex((entry, position) => list[position] !== entry.comment.slice(0, 127));
    if (index >= 0) return `rule ${index} of chain ${name} differs`;
  }
  return undefined;
}

async function compareSets(reader: TableReader, dialect: Dialect, wanted: Actual, retired: ReadonlySet<number>, depth: 'structure' | 'all', idle: ReadonlySet<string>): Promise<string | undefined> {
  const expected = new Map<string, SetImage>(dialect.sets.map((set) => [set.name, set]));
  for (const table of wanted.tables.values()) for (const [name, set] of table.sets) expected.set(name, set);
  const have = await reader.sets();
  for (const name of have) if (!expected.has(name) && !idle.has(name)) return `set ${name} is not ours`;
  for (const name of expected.keys()) if (!have.has(name)) return `set ${name} is absent`;

  const labels = [...wanted.labels.values()];
  for (const [set, elements] of dispatchVerdicts(wanted)) {
    const difference = compareVerdicts(set, await reader.verdicts(set), elements);
    if (difference !== undefined) return difference;
  }
  const stateless = labels.filter((label) => label.stateless).map((label) => wordKey(label.id));
  for (const [set, block] of plainBlocks(dialect, wanted)) if (!equalsDump(block, await reader.elements(set), set)) return `elements of ${set.name} differ`;
  const kernelStateless = new Set(words(await reader.elements(SETS.stateless)));
  if (stateless.some((key) => !kernelStateless.has(idOf(key)))) return 'elements of stateless differ';
  for (const id of kernelStateless) if (!retired.has(id) && wanted.labels.get(id)?.stateless !== true) return 'elements of stateless differ';

  for (const [set, elements] of codeVerdicts(labels)) {
    const kernel = (await reader.verdicts(set)).filter((element) => !retired.has(idOf(element.key)));
    const difference = compareVerdicts(set, kernel, elements);
    if (difference !== undefined) return difference;
  }
  return depth === 'structure' ? undefined : compareTables(reader, wanted);
}

async function compareTables(reader: TableReader, wanted: Actual): Promise<string | undefined> {
  for (const table of wanted.tables.values()) {
    for (const [set, block] of tableBlocks(table)) if (!equalsDump(block, await reader.elements(set), set)) return `elements of ${set.name} differ`;
  }
  return undefined;
}

/** Every set of the table with all its elements. */
export function tableBlocks(table: TablePiece): (readonly [SetImage, Block])[] {
  const blocks = new Map(elementChanges(table.names, undefined, table.compiled, () => false).map(({ set, add }) => [set.name, add]));
  return [...table.sets.values()].map((set) => [set, blocks.get(set.name) ?? new Block(set.keyLength, 16)] as const);
}

/** The sets that do not depend on rules, but for those of labels, with all their elements. */
export function plainBlocks(dialect: Dialect, wanted: Actual): (readonly [SetImage, Block])[] {
  const names = new Block(16, 0);
  for (const name of wanted.filters.keys()) {
    names.add();
    names.keyText(name);
  }
  return [
    [SETS.vnics, names], [SETS.portProtocols, keyBlock(1, PORT_PROTOCOLS.map((protocol) => Uint8Array.of(protocol)))],
    [SETS.icmpProtocols, keyBlock(1, ICMP_PROTOCOLS.map((protocol) => Uint8Array.of(protocol)))],
    ...dialect.memberSets.map(({ set, members, put }) => [set, memberBlock(set, members(wanted.target), put)] as const),
  ];
}

/** Where packets of each filter go. */
export function dispatchVerdicts(wanted: Actual): (readonly [SetImage, readonly VerdictElement[]])[] {
  return (['vnicIn', 'vnicOut', 'packetIn', 'packetOut'] as const).map((key) => [
    DISPATCH_SETS[key], [...wanted.filters].map(([name, piece]) => ({ key: interfaceKey(name), verdict: piece.dispatch[key] })),
  ] as const);
}

/** What action codes mean, those of the labels included. */
export function codeVerdicts(labels: readonly LabelInfo[]): (readonly [SetImage, readonly VerdictElement[]])[] {
  return ([[SETS.verdicts, CODE_VERDICTS, 'connection'], [SETS.packetVerdicts, PACKET_CODE_VERDICTS, 'packet']] as const).map(([set, codes, mode]) => [set, [
    ...[...codes].map(([code, verdict]): VerdictElement => ({ key: wordKey(code), verdict })),
    ...labels.flatMap((label): VerdictElement[] => {
      const verdict = logVerdicts(label)?.[mode];
      return verdict === undefined ? [] : [{ key: wordKey(label.id), verdict }];
    }),
  ]] as const);
}

function keyBlock(length: number, keys: readonly Uint8Array[]): Block {
  const block = new Block(length, 0);
  for (const key of keys) {
    block.add();
    key.forEach((value, offset) => block.keyByte(offset, value));
  }
  return block;
}

function compareVerdicts(set: SetImage, have: readonly ReadVerdict[], want: readonly VerdictElement[]): string | undefined {
  const text = (key: Uint8Array, code: number, chain: string): string => `${Buffer.from(key).toString('hex')} ${code} ${chain}`;
  const found = new Set(have.map((element) => text(element.key, element.code, element.chain)));
  const expected = want.map(({ key, verdict }) => text(key, verdict.code, verdict.chain ?? ''));
  return found.size !== new Set(expected).size || expected.some((entry) => !found.has(entry)) ? `verdicts of ${set.name} differ` : undefined;
}

export function idOf(key: Uint8Array): number {
  return key.length < 4 ? 0 : new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true);
}

export function wordKey(id: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, id, true);
  return key;
}

export function words(dump: ElementDump): number[] {
  const view = new DataView(dump.keys.buffer, dump.keys.byteOffset, dump.keys.byteLength);
  return Array.from({ length: dump.count }, (_, index) => view.getUint32(index * 4, true));
}
