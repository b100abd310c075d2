/** Live connections that other rules would no longer permit. */
import { addressKey } from '../compile/addresses.js';
import type { CompiledTable, LabelInfo, Side } from '../compile/compiled.js';
import { evaluate } from '../compile/evaluate.js';
import { losses } from '../compile/losses.js';
import type { Filter } from '../model/filter.js';
import type { FlowView } from '../model/views.js';
import type { FlowQuery, FlowRecord } from '../native/binding.js';
import { Turns } from '../platform/turns.js';

export interface FilterChange {
  readonly filter: Filter;
  readonly before: CompiledTable;
  /** `open` or `closed`: no table would be in force. */
  readonly after: CompiledTable | 'open' | 'closed';
}

export interface FlowsCutOptions {
  readonly query: (query: FlowQuery) => Promise<FlowRecord[]>;
  /** One side of a connection as users see it. */
  readonly view: (record: FlowRecord, filter: Filter) => FlowView[];
  readonly labels: ReadonlyMap<number, LabelInfo>;
}

/** One answer of the kernel; more are asked for rule by rule. */
const PAGE = 2_000;
/** Connections that are looked at, and that are listed. */
const LOOKED_AT = 50_000;
const LISTED = 1_000;

/** `complete` false: a rule has more connections than one answer holds, or there are too many to look at or list. */
export async function flowsCut(changes: readonly FilterChange[], options: FlowsCutOptions): Promise<{ flows: FlowView[]; complete: boolean }> {
  const flows: FlowView[] = [];
  const turns = new Turns();
  let complete = true;
  let left = LOOKED_AT;
  for (const change of changes) {
    await turns.breathe();
    const ids = candidates(change, options.labels);
    if (ids.length === 0 || change.filter.addresses.length === 0) continue;
    for await (const page of pages(change.filter, ids, options.query)) {
      complete &&= page.complete;
      left -= page.records.length;
      for (const record of page.records.filter(alive)) {
        const cut = cutSides(record, change, new Set(ids));
        if (cut.size > 0) flows.push(...options.view(record, change.filter).filter(({ direction }) => cut.has(direction)));
      }
      if (left <= 0 || flows.length > LISTED) return { flows: flows.slice(0, LISTED), complete: false };
    }
  }
  return { flows, complete };
}

/** Label ids whose connections may lose their permission: too many, never too few. */
function candidates({ before, after }: FilterChange, labels: ReadonlyMap<number, LabelInfo>): number[] {
  if (after === 'open') return [];
  const lost = after === 'closed' ? before.labels.keys() : losses(before, after);
  return [...lost].filter((id) => (before.labels.get(id) ?? labels.get(id))?.action === 'accept');
}

interface Page { readonly records: readonly FlowRecord[]; readonly complete: boolean }

/** Halves the list of rules until an answer is whole. */
async function* pages(filter: Filter, ids: readonly number[], query: FlowsCutOptions['query']): AsyncGenerator<Page> {
  const records = await query({ addresses: filter.addresses, ruleIds: Uint32Array.from(ids), limit: PAGE });
  if (records.length < PAGE || ids.length === 1) {
    yield { records, complete: records.length < PAGE };
    return;
  }
  const middle = ids.length >> 1;
  yield* pages(filter, ids.slice(0, middle), query);
  yield* pages(filter, ids.slice(middle), query);
}

/** TCP_CONNTRACK_TIME_WAIT, TCP_CONNTRACK_CLOSE (nf_conntrack_tcp.h); IPS_DYING (nf_conntrack_common.h). */
const OVER: ReadonlySet<number> = new Set([7, 8]);
const DYING = 1 << 9;

function alive({ tcpState, status }: FlowRecord): boolean {
  return !OVER.has(tcpState) && (status & DYING) === 0;
}

/** The sides of the connection at this filter where a candidate admitted it and the new table does not. */
function cutSides(record: FlowRecord, { filter, after }: FilterChange, ids: ReadonlySet<number>): Set<Side> {
  const cut = new Set<Side>();
  const at = (side: Side): boolean => (side === 'in'
    ? ids.has(record.ruleIdIn) && filter.addresses.includes(record.destination)
    : ids.has(record.ruleIdOut) && filter.addresses.includes(record.source));
  for (const side of ['in', 'out'] as const) if (at(side) && !permits(after, side, record)) cut.add(side);
  return cut;
}

function permits(table: FilterChange['after'], side: Side, record: FlowRecord): boolean {
  if (typeof table === 'string') return table === 'open';
  const [source, destination] = [addressKey(record.source), addressKey(record.destination)];
  if (source === undefined || destination === undefined) return false;
  const verdict = evaluate(table, side, { source, destination, protocol: record.protocol, sourcePort: record.sourcePort, port: record.destinationPort });
  return verdict !== 'guarded' && verdict.action === 'accept';
}
