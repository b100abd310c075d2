/**
 * After a restart: is what the kernel enforces exactly what shall be enforced? Then nothing is written, and the agent
 * takes over where it left off, unfinished sweeps included.
 */
import type { ElementDump } from '../../native/binding.js';
import { BASE_CHAINS, SETS } from './base-layout.js';
import { Block, equalsDump } from './blocks.js';
import type { ChainImage, SetImage } from './image.js';
import { DISPATCH_SETS, interfaceKey, localVerdicts } from './pieces.js';
import { NOTHING, plan, type Actual, type PlanOptions } from './plan.js';
import type { ReadVerdict, TableReader } from './reader.js';
import { elementChanges } from './table-elements.js';
import { keepsConnections, type Target } from './target.js';
import { actVerdict, logChainImage, packetVerdict, type Verdict, type VerdictElement } from './verdicts.js';

export interface Adoption {
  /** Undefined: the kernel differs; `difference` says where it was first seen. */
  readonly actual: Actual | undefined;
  readonly difference: string;
}

export async function adopt(reader: TableReader, target: Target, options: PlanOptions, depth: 'structure' | 'all'): Promise<Adoption> {
  const differs = (difference: string): Adoption => ({ actual: undefined, difference });
  if (!(await reader.exists())) return differs('table is absent');
  const wanted = plan(NOTHING, target, options).next;

  const acts = await reader.verdicts(SETS.act);
  const kernelIds = new Map(acts.map((element) => [idOf(element.key), element.comment]));
  const liveDump = await reader.elements(SETS.live);
  const live = new Set(words(liveDump));

  const retired = new Set([...kernelIds.keys()].filter((id) => !wanted.labels.has(id)));
  const probation = new Set([...wanted.live].filter((id) => !live.has(id)));
  for (const id of live) if (!wanted.live.has(id)) return differs(`label id ${id.toString(16)} is in force`);
  for (const id of probation) if (options.always.includes(id)) return differs('the not-applicable id is not in force');

  const chainDifference = await compareChains(reader, expectedChains(wanted, options), retired.size > 0);
  if (chainDifference !== undefined) return differs(chainDifference);
  const setDifference = await compareSets(reader, wanted, acts, depth);
  if (setDifference !== undefined) return differs(setDifference);

  const labels = new Map(wanted.labels);
  for (const id of retired) {
    labels.set(id, { id, key: kernelIds.get(id) ?? '', table: '', ruleId: 0, side: 'in', action: 'drop', log: false, stateless: false });
  }
  const kept = new Set([...wanted.labels.values()].filter(keepsConnections).map((label) => label.id));
  return {
    actual: { ...wanted, labels, live: new Set([...wanted.live].filter((id) => live.has(id))), probation: new Set([...probation].filter((id) => kept.has(id))), retired },
    difference: '',
  };
}

function expectedChains(wanted: Actual, options: PlanOptions): Map<string, ChainImage> {
  const chains = new Map(BASE_CHAINS.map((chain) => [chain.name, chain]));
  for (const table of wanted.tables.values()) for (const [name, chain] of table.chains) chains.set(name, chain);
  for (const filter of wanted.filters.values()) for (const [name, chain] of filter.chains) chains.set(name, chain);
  for (const label of wanted.labels.values()) {
    if (!label.log) continue;
    const chain = logChainImage(label, options.logGroup);
    chains.set(chain.name, chain);
  }
  return chains;
}

/** `extraLogs`: log chains of retired ids may stand around. */
async function compareChains(reader: TableReader, expected: ReadonlyMap<string, ChainImage>, extraLogs: boolean): Promise<string | undefined> {
  const have = await reader.chains();
  const rules = await reader.rules();
  for (const name of have) if (!expected.has(name) && !(extraLogs && name.startsWith('log_'))) return `chain ${name} is not ours`;
  for (const [name, chain] of expected) {
    if (!have.has(name)) return `chain ${name} is absent`;
    const list = rules.get(name) ?? [];
    if (list.length !== chain.rules.length) return `chain ${name} has ${list.length} rules, not ${chain.rules.length}`;
    const index = chain.rules.findIndex((entry, position) => list[position] !== entry.comment.slice(0, 127));
    if (index >= 0) return `rule ${index} of chain ${name} differs`;
  }
  return undefined;
}

async function compareSets(reader: TableReader, wanted: Actual, acts: readonly ReadVerdict[], depth: 'structure' | 'all'): Promise<string | undefined> {
  const expected = new Map<string, SetImage>(Object.values(SETS).map((set) => [set.name, set]));
  for (const table of wanted.tables.values()) for (const [name, set] of table.sets) expected.set(name, set);
  const have = await reader.sets();
  for (const name of have) if (!expected.has(name)) return `set ${name} is not ours`;
  for (const name of expected.keys()) if (!have.has(name)) return `set ${name} is absent`;

  for (const key of ['vnicIn', 'vnicOut', 'packetIn', 'packetOut'] as const) {
    const elements = new Map([...wanted.filters].map(([name, piece]) => [name, { key: interfaceKey(name), verdict: piece.dispatch[key] }]));
    const difference = compareVerdicts(DISPATCH_SETS[key], await reader.verdicts(DISPATCH_SETS[key]), [...elements.values()]);
    if (difference !== undefined) return difference;
  }
  const names = new Block(16, 0);
  for (const name of wanted.filters.keys()) {
    names.add();
    names.keyText(name);
  }
  if (!equalsDump(names, await reader.elements(SETS.vnics), SETS.vnics)) return 'set vnics differs';

  const labels = [...wanted.labels.values()];
  const act = compareVerdicts(SETS.act, acts.filter((element) => wanted.labels.has(idOf(element.key))), labels.map((label) => ({ key: wordKey(label.id), verdict: actVerdict(label) })));
  if (act !== undefined) return act;
  if (depth === 'structure') return undefined;

  const packetActs = await reader.verdicts(SETS.packetAct);
  const packet = compareVerdicts(
    SETS.packetAct, packetActs.filter((element) => wanted.labels.has(idOf(element.key))), labels.map((label) => ({ key: wordKey(label.id), verdict: packetVerdict(label) })),
  );
  if (packet !== undefined) return packet;
  for (const table of wanted.tables.values()) {
    const blocks = new Map(elementChanges(table.names, undefined, table.compiled).map(({ set, add }) => [set.name, add]));
    const locals = localVerdicts(table);
    for (const [name, set] of table.sets) {
      const verdicts = locals.get(name);
      if (verdicts !== undefined) {
        const difference = compareVerdicts(set, await reader.verdicts(set), [...verdicts.values()]);
        if (difference !== undefined) return difference;
      } else if (!equalsDump(blocks.get(name) ?? new Block(set.keyLength, 16), await reader.elements(set), set)) return `elements of ${name} differ`;
    }
  }
  return undefined;
}

function compareVerdicts(set: SetImage, have: readonly ReadVerdict[], want: readonly VerdictElement[]): string | undefined {
  const text = (key: Uint8Array, verdict: Verdict | undefined): string =>
    `${Buffer.from(key).toString('hex')} ${verdict === undefined ? 'end' : `${verdict.code} ${verdict.chain ?? ''}`}`;
  const found = new Set(have.map((element) => text(element.key, (element.flags & 1) !== 0 ? undefined : { code: element.code, chain: element.chain })));
  const expected = want.flatMap((element) => [text(element.key, element.verdict), ...(element.end === undefined ? [] : [text(element.end, undefined)])]);
  if (found.size !== new Set(expected).size || expected.some((entry) => !found.has(entry))) return `verdicts of ${set.name} differ`;
  return undefined;
}

export function idOf(key: Uint8Array): number {
  return key.length < 4 ? 0 : new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true);
}

function wordKey(id: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, id, true);
  return key;
}

function words(dump: ElementDump): number[] {
  const view = new DataView(dump.keys.buffer, dump.keys.byteOffset, dump.keys.byteLength);
  return Array.from({ length: dump.count }, (_, index) => view.getUint32(index * 4, true));
}
