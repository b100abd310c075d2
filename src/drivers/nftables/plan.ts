/**
 * The pure half of the driver: from what the kernel has to what it shall have, as one batch.
 *
 * Rules in force (`live`) and connections: a rule that lost packets, or whose filter got another table, leaves `live` in
 * the batch that takes effect. Its connections are then judged again on their next packet: those still permitted pass,
 * under the same or another rule; the rest are cut at once. Because the kernel only ORs labels, the label words of such
 * connections must be cleared before the rule may be live again: the sweep. Until then:
 *   probation  ids that would be live, but wait for the sweep
 *   retired    ids that no rule has any more; kept so that nobody gets them before the sweep
 *   refused    ids of refusing rules that lost something: established connections that they refused carry them until the sweep
 * Both can be read off the kernel's sets, so a crash at any point loses nothing.
 */
import { lostLabels } from '../../compile/lost-labels.js';
import { hostDelta, type LabelInfo } from '../../compile/compiled.js';
import type { Segment } from '../../native/binding.js';
import { AttributeWriter } from './attributes.js';
import { ICMP_PROTOCOLS, PORT_PROTOCOLS, SETS } from './base-layout.js';
import { Block } from './blocks.js';
import type { Dialect, MemberSet } from './dialect.js';
import { host32 } from './expressions.js';
import {
  appendRules, deleteChain, deleteSet, deleteTable, equalChains, flushChain, newChain, newSet, newTable, type ChainImage, type SetImage, type TableName,
} from './image.js';
import { interfaceKey } from './interface-key.js';
import { DISPATCH_SETS, filterPiece, nextTablePiece, tablePiece, type FilterPiece, type TablePiece } from './pieces.js';
import { elementChanges } from './table-elements.js';
import { keepsConnections, targetLabels, type Target, type TargetFilter } from '../../compile/target.js';
import {
  addCommented, addVerdicts, CODE_VERDICTS, logChain, logChainImage, logVerdicts, PACKET_CODE_VERDICTS, removeElements,
  type CommentedElement, type Verdict, type VerdictElement,
} from './verdicts.js';

export interface Actual {
  /** False: the table is not there. */
  readonly present: boolean;
  readonly target: Target;
  readonly tables: ReadonlyMap<string, TablePiece>;
  /**
   * Tables that no filter has any more. A packet that is under way by the rules of before still looks into their maps, which would be
   * empty from the commit on that deletes them: they go in a later one.
   */
  readonly idle: ReadonlyMap<string, TablePiece>;
  readonly filters: ReadonlyMap<string, FilterPiece>;
  /** Label ids that have a verdict, by id. */
  readonly labels: ReadonlyMap<number, LabelInfo>;
  readonly live: ReadonlySet<number>;
  readonly probation: ReadonlySet<number>;
  readonly retired: ReadonlySet<number>;
  /** Not to be seen in the kernel: where that is all there is, every refusing rule is one. */
  readonly refused: ReadonlySet<number>;
}

export const NOTHING: Actual = {
  present: false, target: { filters: new Map(), tables: new Map() }, tables: new Map(), idle: new Map(), filters: new Map(), labels: new Map(),
  live: new Set(), probation: new Set(), retired: new Set(), refused: new Set(),
};

export interface Plan {
  readonly segments: readonly Segment[];
  /** What the kernel has once the batch is committed. */
  readonly next: Actual;
  /** Rules whose connections must be judged again, as of this plan. */
  readonly lost: ReadonlySet<number>;
  readonly summary: { readonly chains: number; readonly sets: number; readonly elements: number; readonly lost: number };
}

export interface PlanOptions {
  readonly dialect: Dialect;
  readonly logGroup: number;
  /** Ids always in force: the not-applicable id. */
  readonly always: readonly number[];
}

/** One batch from `actual` to `target`. No segments when nothing differs. */
export function plan(actual: Actual, target: Target, options: PlanOptions): Plan {
  return new Planner(actual, target, options).plan();
}

/**
 * One batch that replaces the table, whatever it holds. Every rule that keeps connections starts on probation when
 * `suspect`: connections may carry ids whose rules changed while nobody watched.
 */
export function rebuild(target: Target, options: PlanOptions, suspect: ReadonlySet<number>, retired: ReadonlyMap<number, LabelInfo>): Plan {
  const planner = new Planner({ ...NOTHING, labels: retired, probation: suspect, retired: new Set(retired.keys()), refused: suspect }, target, options);
  const built = planner.plan();
  const writer = new AttributeWriter();
  // Creating first makes the deletion succeed when there is no table.
  newTable(writer, options.dialect.name);
  deleteTable(writer, options.dialect.name);
  return { ...built, segments: [{ kind: 'raw', bytes: writer.finish() }, ...built.segments] };
}

/** After a sweep of these ids: probation ends for them, and retired ones go. Ids that are neither are left alone. */
export function settle(actual: Actual, swept: ReadonlySet<number>, { dialect: { name: table } }: PlanOptions): Plan {
  const back = [...actual.probation].filter((id) => swept.has(id));
  const gone = [...actual.retired].filter((id) => swept.has(id));
  const segments: Segment[] = [];
  const writer = new AttributeWriter();
  const elements = gone.map((id) => ({ key: host32(id) }));
  removeElements(writer, table, SETS.ids, elements);
  removeElements(writer, table, SETS.stateless, elements.filter((_, index) => actual.labels.get(gone[index] ?? 0)?.stateless === true));
  const logged = gone.flatMap((id) => actual.labels.get(id) ?? []).filter((label) => label.log);
  const keys = logged.map(({ id }) => ({ key: host32(id) }));
  removeElements(writer, table, SETS.verdicts, keys);
  removeElements(writer, table, SETS.packetVerdicts, keys);
  const chains = logged.map(logChain);
  for (const chain of chains) {
    flushChain(writer, table, chain);
    deleteChain(writer, table, chain);
  }
  const tail = new AttributeWriter();
  for (const { chains: rules, sets } of actual.idle.values()) {
    for (const chain of rules.keys()) flushChain(writer, table, chain);
    for (const chain of [...rules.keys()].reverse()) deleteChain(tail, table, chain);
    for (const set of sets.keys()) deleteSet(tail, table, set);
  }
  if (writer.length > 0) segments.push({ kind: 'raw', bytes: writer.finish() });
  if (tail.length > 0) segments.push({ kind: 'raw', bytes: tail.finish() });
  if (back.length > 0) segments.push(liveBlock(back).segment('add', table, SETS.live.name));
  const labels = new Map(actual.labels);
  for (const id of gone) labels.delete(id);
  return {
    segments, lost: new Set(),
    next: {
      ...actual, idle: new Map(), live: new Set([...actual.live, ...back]), labels,
      probation: new Set([...actual.probation].filter((id) => !swept.has(id))),
      retired: new Set([...actual.retired].filter((id) => !swept.has(id))),
      refused: new Set([...actual.refused].filter((id) => !swept.has(id))),
    },
    summary: { chains: chains.length, sets: 0, elements: gone.length + back.length, lost: 0 },
  };
}

function liveBlock(ids: Iterable<number>): Block {
  const block = new Block(4, 0);
  for (const id of ids) putId(block, id);
  return block;
}

class Planner {
  private readonly head = new AttributeWriter();
  private readonly chainRules = new AttributeWriter();
  private readonly verdicts = new AttributeWriter();
  private readonly tail = new AttributeWriter();
  private readonly data: Segment[] = [];
  private readonly summary = { chains: 0, sets: 0, elements: 0, lost: 0 };
  private readonly table: TableName;
  private setId = 0;
  /** What becomes idle with this batch. */
  private readonly idle = new Map<string, TablePiece>();

  constructor(
    private readonly actual: Actual,
    private readonly target: Target,
    private readonly options: PlanOptions,
  ) {
    this.table = options.dialect.name;
  }

  plan(): Plan {
    const { actual, target } = this;
    const tables = this.pieces();
    const filters = this.filterPieces();
    const moved = lostLabels(actual.target, target);
    const lost = new Set([...moved].filter((id) => actual.live.has(id)));
    this.summary.lost = lost.size;
    // What a refusing rule does not decide any more may come to be accepted: the id of an accepting rule must not be laid over its own.
    const refused = new Set([...moved].filter((id) => actual.labels.has(id) && !lost.has(id)));

    if (!actual.present) this.base();
    this.tables(tables);
    if (!sameEntries(actual.filters, filters)) this.filters(filters);
    this.members();
    if (this.sameLabels()) {
      // What lost something was live: it waits for the sweep, and all else stays as it is.
      const { labels, retired } = actual;
      const [live, probation] = lost.size === 0 ? [actual.live, actual.probation] : [without(actual.live, lost), new Set([...actual.probation, ...lost])];
      this.block('delete', SETS.live, liveBlock(lost), true);
      return {
        segments: this.segments(), lost: new Set([...lost, ...refused]), summary: this.summary,
        next: { present: true, target, tables, idle: this.idle, filters, labels, live, probation, retired, refused: new Set([...actual.refused, ...refused].filter((id) => !probation.has(id))) },
      };
    }

    const labels = targetLabels(target);
    const kept = new Set([...labels.values()].filter(keepsConnections).map((label) => label.id));
    const probation = new Set([...actual.probation, ...lost].filter((id) => kept.has(id)));
    // A retired id that a rule has again: its connections were never swept.
    for (const id of actual.retired) if (kept.has(id)) probation.add(id);
    // A rule that refused, and accepts now: what it refused carries its id, and may be none of what it accepts.
    const turned = [...kept].filter((id) => actual.labels.has(id) && !actual.live.has(id) && !actual.probation.has(id));
    for (const id of turned) probation.add(id);
    const live = new Set([...kept].filter((id) => !probation.has(id)));
    for (const id of this.options.always) live.add(id);
    const allLabels = this.labels(labels);
    const retired = new Set([...allLabels.keys()].filter((id) => !labels.has(id)));
    this.live(live);
    return {
      segments: this.segments(), lost: new Set([...lost, ...refused, ...turned]), summary: this.summary,
      next: {
        present: true, target, tables, idle: this.idle, filters, labels: allLabels, live, probation, retired,
        refused: new Set([...actual.refused, ...lost, ...refused].filter((id) => labels.has(id) && !kept.has(id))),
      },
    };
  }

  private sameLabels(): boolean {
    const { tables } = this.target;
    const before = this.actual.target.tables;
    return this.actual.present && tables.size === before.size && [...tables].every(([key, compiled]) => before.get(key)?.labels === compiled.labels);
  }

  private segments(): Segment[] {
    const raw = (writer: AttributeWriter): Segment[] => (writer.length === 0 ? [] : [{ kind: 'raw', bytes: writer.finish() }]);
    // Rules before elements: a rule that comes to a map makes the kernel walk all that is in it.
    return [...raw(this.head), ...raw(this.chainRules), ...this.data, ...raw(this.verdicts), ...raw(this.tail)];
  }

  private pieces(): Map<string, TablePiece> {
    const tables = new Map<string, TablePiece>();
    for (const [key, compiled] of this.target.tables) {
      const known = this.actual.tables.get(key) ?? this.actual.idle.get(key);
      if (known === undefined) tables.set(key, tablePiece(this.options.dialect, key, compiled));
      else if (known.compiled === compiled) tables.set(key, known);
      // Moving hosts between classes changes no chain.
      else tables.set(key, hostDelta(known.compiled, compiled) === undefined ? nextTablePiece(this.options.dialect, key, known, compiled) : { ...known, compiled });
    }
    return tables;
  }

  private filterPieces(): Map<string, FilterPiece> {
    const filters = new Map<string, FilterPiece>();
    for (const [name, filter] of this.target.filters) {
      const known = this.actual.target.filters.get(name);
      const piece = this.actual.filters.get(name);
      filters.set(name, piece !== undefined && known !== undefined && sameFilter(known, filter) ? piece : filterPiece(filter));
    }
    return filters;
  }

  private base(): void {
    newTable(this.head, this.table);
    for (const set of this.options.dialect.sets) this.addSet(set);
    for (const chain of this.options.dialect.chains) this.addChain(chain);
    for (const [set, protocols] of [[SETS.portProtocols, PORT_PROTOCOLS], [SETS.icmpProtocols, ICMP_PROTOCOLS]] as const) {
      const block = new Block(1, 0);
      for (const protocol of protocols) {
        block.add();
        block.keyByte(0, protocol);
      }
      this.block('add', set, block, true);
    }
    for (const [set, verdicts] of [[SETS.verdicts, CODE_VERDICTS], [SETS.packetVerdicts, PACKET_CODE_VERDICTS]] as const) {
      addVerdicts(this.verdicts, this.table, set, [...verdicts].map(([code, verdict]) => ({ key: host32(code), verdict })));
    }
  }

  private tables(tables: ReadonlyMap<string, TablePiece>): void {
    for (const [key, piece] of this.actual.tables) if (!tables.has(key)) this.idle.set(key, piece);
    for (const [key, piece] of this.actual.idle) if (!tables.has(key)) this.changeTable(piece, undefined);
    for (const [key, piece] of tables) {
      const known = this.actual.tables.get(key) ?? this.actual.idle.get(key);
      if (known !== piece) this.changeTable(known, piece);
    }
  }

  private changeTable(before: TablePiece | undefined, after: TablePiece | undefined): void {
    const kept = after?.sets ?? new Map<string, SetImage>();
    const had = before?.sets ?? new Map<string, SetImage>();
    for (const set of kept.values()) if (!had.has(set.name)) this.addSet(set);
    this.chains(before?.chains, after?.chains);
    if (after !== undefined) {
      for (const { set, remove, add } of elementChanges(after.names, before?.compiled, after.compiled, ({ name }) => had.has(name))) {
        // A set that goes takes its elements along; one that no rule looks into is not made.
        if (!kept.has(set.name)) continue;
        this.block('delete', set, remove, had.has(set.name));
        this.block('add', set, add, true);
      }
    }
    for (const set of had.values()) if (!kept.has(set.name)) this.removeSet(set);
  }

  private block(op: 'add' | 'delete', set: SetImage, block: Block, wanted: boolean): void {
    if (!wanted || block.count === 0) return;
    this.data.push(block.segment(op, this.table, set.name));
    this.summary.elements += block.count;
  }

  private chains(before: ReadonlyMap<string, ChainImage> | undefined, after: ReadonlyMap<string, ChainImage> | undefined): void {
    if (before === after) return;
    for (const chain of after?.values() ?? []) {
      const known = before?.get(chain.name);
      if (known === undefined) this.addChain(chain);
      else if (!equalChains(known, chain)) this.changeChain(chain);
    }
    for (const chain of before?.values() ?? []) if (after?.has(chain.name) !== true) this.removeChain(chain.name);
  }

  private addChain(chain: ChainImage): void {
    newChain(this.head, this.table, chain);
    appendRules(this.chainRules, this.table, chain);
    this.summary.chains += 1;
  }

  private changeChain(chain: ChainImage): void {
    flushChain(this.chainRules, this.table, chain.name);
    appendRules(this.chainRules, this.table, chain);
    this.summary.chains += 1;
  }

  private removeChain(name: string): void {
    flushChain(this.chainRules, this.table, name);
    deleteChain(this.tail, this.table, name);
    this.summary.chains += 1;
  }

  private addSet(set: SetImage): void {
    this.setId += 1;
    newSet(this.head, this.table, set, this.setId);
    this.summary.sets += 1;
  }

  private removeSet(set: SetImage): void {
    deleteSet(this.tail, this.table, set.name);
    this.summary.sets += 1;
  }

  private filters(filters: ReadonlyMap<string, FilterPiece>): void {
    const before = this.actual.filters;
    const members = { add: new Block(16, 0), remove: new Block(16, 0) };
    for (const name of before.keys()) if (!filters.has(name)) putName(members.remove, name);
    for (const name of filters.keys()) if (!before.has(name)) putName(members.add, name);
    this.block('delete', SETS.vnics, members.remove, true);
    this.block('add', SETS.vnics, members.add, true);
    for (const [name, piece] of before) {
      if (filters.get(name) !== piece) this.chains(piece.chains, filters.get(name)?.chains);
    }
    for (const [name, piece] of filters) if (!before.has(name)) this.chains(undefined, piece.chains);
    for (const key of ['vnicIn', 'vnicOut', 'packetIn', 'packetOut'] as const) {
      const elements = (pieces: ReadonlyMap<string, FilterPiece>): Map<string, VerdictElement> =>
        new Map([...pieces].map(([name, piece]) => [name, { key: interfaceKey(name), verdict: piece.dispatch[key] }]));
      this.verdictChanges(DISPATCH_SETS[key], elements(before), elements(filters));
    }
  }

  private members(): void {
    const before = this.actual.target;
    if (this.actual.present && before.filters === this.target.filters && before.bridges === this.target.bridges) return;
    for (const { set, members, put } of this.options.dialect.memberSets) {
      const had = this.actual.present ? members(before) : new Set<string>();
      const wanted = members(this.target);
      this.block('delete', set, memberBlock(set, [...had].filter((member) => !wanted.has(member)), put), true);
      this.block('add', set, memberBlock(set, [...wanted].filter((member) => !had.has(member)), put), true);
    }
  }

  private verdictChanges(set: SetImage, before: ReadonlyMap<string, VerdictElement>, after: ReadonlyMap<string, VerdictElement>): void {
    const remove = [...before].filter(([key, element]) => !sameVerdict(element.verdict, after.get(key)?.verdict)).map(([, element]) => element);
    const add = [...after].filter(([key, element]) => !sameVerdict(element.verdict, before.get(key)?.verdict)).map(([, element]) => element);
    removeElements(this.verdicts, this.table, set, remove);
    addVerdicts(this.verdicts, this.table, set, add);
    this.summary.elements += remove.length + add.length;
  }

  /** Makes ids, stateless, and the log chains and their verdicts right; returns the labels then held: the wanted and the retired. */
  private labels(wanted: ReadonlyMap<number, LabelInfo>): Map<number, LabelInfo> {
    const had = this.actual.present ? this.actual.labels : new Map<number, LabelInfo>();
    const after = new Map(this.actual.labels);
    for (const [id, label] of wanted) after.set(id, label);
    const fresh: CommentedElement[] = [];
    const stateless = { add: new Block(4, 0), remove: new Block(4, 0) };
    const logs = { connection: newChanges(), packet: newChanges() };
    for (const [id, label] of after) {
      const before = had.get(id);
      if (before === label) continue;
      if (before === undefined) fresh.push({ key: host32(id), comment: label.key });
      if (label.stateless !== (before?.stateless ?? false)) putId(label.stateless ? stateless.add : stateless.remove, id);
      this.logChain(before, label);
      const now = logVerdicts(label);
      const old = before === undefined ? undefined : logVerdicts(before);
      for (const mode of ['connection', 'packet'] as const) noteChange(logs[mode], id, old?.[mode], now?.[mode]);
    }
    addCommented(this.verdicts, this.table, SETS.ids, fresh);
    this.block('delete', SETS.stateless, stateless.remove, true);
    this.block('add', SETS.stateless, stateless.add, true);
    for (const [mode, set] of [['connection', SETS.verdicts], ['packet', SETS.packetVerdicts]] as const) {
      removeElements(this.verdicts, this.table, set, logs[mode].remove);
      addVerdicts(this.verdicts, this.table, set, logs[mode].add);
      this.summary.elements += logs[mode].remove.length + logs[mode].add.length;
    }
    this.summary.elements += fresh.length;
    return after;
  }

  private logChain(before: LabelInfo | undefined, after: LabelInfo): void {
    const old = before?.log === true ? logChainImage(this.options.dialect, before, this.options.logGroup) : undefined;
    const fresh = after.log ? logChainImage(this.options.dialect, after, this.options.logGroup) : undefined;
    if (fresh !== undefined && old === undefined) this.addChain(fresh);
    else if (fresh !== undefined && old !== undefined && !equalChains(old, fresh)) this.changeChain(fresh);
    else if (fresh === undefined && old !== undefined) this.removeChain(old.name);
  }

  private live(live: ReadonlySet<number>): void {
    const before = this.actual.present ? this.actual.live : new Set<number>();
    this.block('delete', SETS.live, liveBlock([...before].filter((id) => !live.has(id))), true);
    this.block('add', SETS.live, liveBlock([...live].filter((id) => !before.has(id))), true);
  }

}

export function memberBlock(set: SetImage, members: Iterable<string>, put: MemberSet['put']): Block {
  const block = new Block(set.keyLength, 0);
  for (const member of members) {
    block.add();
    put(block, member);
  }
  return block;
}

function without(ids: ReadonlySet<number>, gone: ReadonlySet<number>): Set<number> {
  const rest = new Set(ids);
  for (const id of gone) rest.delete(id);
  return rest;
}

function sameEntries<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

interface VerdictChanges {
  readonly add: VerdictElement[];
  readonly remove: { key: Uint8Array }[];
}

function newChanges(): VerdictChanges {
  return { add: [], remove: [] };
}

function noteChange(changes: VerdictChanges, id: number, before: Verdict | undefined, after: Verdict | undefined): void {
  if (after === before || (after !== undefined && sameVerdict(after, before))) return;
  const key = host32(id);
  if (before !== undefined) changes.remove.push({ key });
  if (after !== undefined) changes.add.push({ key, verdict: after });
}

function putId(block: Block, id: number): void {
  block.add();
  block.keyHostWord(id);
}

function putName(block: Block, name: string): void {
  block.add();
  block.keyText(name);
}

function sameFilter(a: TargetFilter, b: TargetFilter): boolean {
  return a.number === b.number && a.table === b.table && a.failOpen === b.failOpen && a.reachesItself === b.reachesItself;
}

function sameVerdict(a: Verdict, b: Verdict | undefined): boolean {
  return b !== undefined && a.code === b.code && a.chain === b.chain;
}
