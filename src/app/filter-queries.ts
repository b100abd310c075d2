/** Filters, rules, address sets and counters as answers. Read from what is in force. */
import type { EffectiveTable } from '../compile/effective.js';
import type { LabelInfo } from '../compile/compiled.js';
import type { Filter } from '../model/filter.js';
import { sortMembers } from '../model/address.js';
import { layer2RuleToView, ruleToView } from '../model/rule-view.js';
import type { AddressSetView, FilterStatView, FilterView, RulesetView, RuleStatsView } from '../model/views.js';
import type { FlowTable, Link } from '../native/binding.js';
import { sumTraffic, type Enforcement, type TrafficCounter } from './enforcement.js';
import type { Realized } from './realized.js';

export interface FilterQueriesOptions {
  readonly enforcement: Enforcement;
  readonly flows: FlowTable;
  /** With counters of now. */
  readonly refreshLinks: () => Promise<ReadonlyMap<string, Link>>;
  readonly failOpen: boolean;
}

export class FilterQueries {
  constructor(private readonly options: FilterQueriesOptions) {}

  filter(filter: Filter, realized: Realized): FilterView {
    const key = realized.compilation.filterTables.get(filter.name);
    const present = this.options.enforcement.attached(filter);
    const time = key === undefined ? undefined : realized.tableTimes.get(key);
    return {
      name: filter.name, hash: filter.hash, workload: filter.workload, vnic: filter.vnic, interface: filter.interface, mac: filter.mac,
      addresses: [...filter.addresses], slot: 2, agentName: 'dfw-agent',
      state: key === undefined ? (this.options.failOpen ? 'open' : 'closed') : present ? 'attached' : 'waiting',
      failurePolicy: this.options.failOpen ? 'failOpen' : 'failClosed',
      datapath: this.options.enforcement.name, generation: time?.generation ?? 0, realized: key !== undefined,
      rulesets: this.tables(filter, realized).map(({ table }) => table.metadata.name),
    };
  }

  /** The tables in force, in order: those the filter was compiled from, which may be older than the desired ones. */
  tables(filter: Filter, realized: Realized): readonly EffectiveTable[] {
    const key = realized.compilation.filterTables.get(filter.name);
    return key === undefined ? [] : (realized.compilation.sources.get(key) ?? []);
  }

  async rulesets(filter: Filter, realized: Realized, withStats: boolean): Promise<RulesetView[]> {
    const key = realized.compilation.filterTables.get(filter.name);
    const time = key === undefined ? undefined : realized.tableTimes.get(key);
    const stats = withStats ? await this.ruleStats() : undefined;
    const frames = withStats ? await this.layer2Hits(filter) : undefined;
    const common = { generation: time?.generation ?? 0, realizedAt: new Date(time?.at ?? 0).toISOString() };
    return this.tables(filter, realized).flatMap(({ table }): RulesetView[] => {
      const { name } = table.metadata;
      const views: RulesetView[] = [{
        name, layer: 3, ...common,
        rules: table.rules.map((rule, index) => ({ ...ruleToView(rule, index + 1), ...(stats === undefined ? {} : { stats: stats(name, rule.id) }) })),
      }];
      if (table.layer2Rules.length > 0) {
        views.push({
          name: `${name}_L2`, layer: 2, ...common,
          rules: table.layer2Rules.map((rule, index) => ({
            ...layer2RuleToView(rule, index + 1), ...(frames === undefined ? {} : { stats: frames(name, rule.id) }),
          })),
        });
      }
      return views;
    });
  }

  /** The address sets that the filter's rules name, by name, members sorted. */
  addressSets(filter: Filter, realized: Realized): AddressSetView[] {
    const found = new Map<string, readonly string[]>();
    for (const { sets } of this.tables(filter, realized)) for (const [name, { members }] of sets) found.set(name, members);
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, members]) => ({ name, addresses: sortMembers(members) }));
  }

  /**
   * What passed is what the interface carried (in = to the workload = sent by the interface), less what was refused after it
   * came in; what was refused is what the filter judged less what it accepted. Neither tells families apart: all stands under
   * v4, or under v6 for a filter whose addresses are all IPv6. Bytes that passed are link-layer bytes.
   */
  async statistics(filter: Filter, realized: Realized): Promise<FilterStatView> {
    const link = (await this.options.refreshLinks()).get(filter.interface);
    const refused = await this.options.enforcement.refused(filter);
    const inward = plain(refused.in);
    const outward = plain(refused.out);
    const family = filter.addresses.length > 0 && filter.addresses.every((address) => address.includes(':')) ? 'v6' : 'v4';
    const rules = this.tables(filter, realized).flatMap(({ table }) => table.layer2Rules.map(({ id }) => ({ table: table.metadata.name, id })));
    const frames = await this.options.enforcement.layer2(filter);
    const layer2 = (side: 'in' | 'out'): number => plain(sumTraffic(rules.map(({ table, id }) => frames(table, id)[side]))).packets;
    return {
      filter: filter.name,
      packets: counted(family, link?.txPackets ?? 0, Math.max(0, (link?.rxPackets ?? 0) - outward.packets), inward.packets, outward.packets),
      bytes: counted(family, link?.txBytes ?? 0, Math.max(0, (link?.rxBytes ?? 0) - outward.bytes), inward.bytes, outward.bytes),
      dropReasons: { match: inward.packets + outward.packets },
      miscellaneous: { 'layer 2 frames judged in': layer2('in'), 'layer 2 frames judged out': layer2('out'), 'interface drops': (link?.txDropped ?? 0) + (link?.rxDropped ?? 0) },
    };
  }

  /** Counters of every rule, by table and rule id; of all filters that have the table together. */
  async ruleStats(): Promise<(table: string, ruleId: number) => RuleStatsView> {
    const counters = await this.options.enforcement.ruleCounters();
    const totals = await this.options.flows.ruleTotals();
    const byRule = new Map<string, RuleStatsView>();
    const entry = (label: LabelInfo): RuleStatsView => {
      const key = `${label.table}/${label.ruleId}`;
      const known = byRule.get(key);
      if (known !== undefined) return known;
      const fresh: RuleStatsView = { evals: 0, packets: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } };
      byRule.set(key, fresh);
      return fresh;
    };
    const { labels } = this.options.enforcement;
    for (const [id, { packets, bytes }] of counters) {
      const label = labels.get(id);
      if (label === undefined) continue;
      const stats = entry(label);
      stats.evals += Number(packets);
      // A refused packet is all there is of it; what is admitted is counted by its connection.
      if (label.action === 'accept') continue;
      stats.packets[label.side] += Number(packets);
      stats.bytes[label.side] += Number(bytes);
    }
    totals.ids.forEach((id, index) => {
      const label = labels.get(id);
      if (label?.action !== 'accept') return;
      const stats = entry(label);
      stats.packets[label.side] += Number(totals.packets[index] ?? 0n);
      stats.bytes[label.side] += Number(totals.bytes[index] ?? 0n);
    });
    return (table, ruleId) => byRule.get(`${table}/${ruleId}`) ?? { evals: 0, packets: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } };
  }

  private async layer2Hits(filter: Filter): Promise<(table: string, ruleId: number) => RuleStatsView> {
    const frames = await this.options.enforcement.layer2(filter);
    return (table, ruleId) => {
      const counters = frames(table, ruleId);
      const inward = plain(counters.in);
      const outward = plain(counters.out);
      return { evals: inward.packets + outward.packets, packets: { in: inward.packets, out: outward.packets }, bytes: { in: inward.bytes, out: outward.bytes } };
    };
  }
}

function plain({ packets, bytes }: TrafficCounter): { packets: number; bytes: number } {
  return { packets: Number(packets), bytes: Number(bytes) };
}

function counted(family: 'v4' | 'v6', passIn: number, passOut: number, dropIn: number, dropOut: number): FilterStatView['packets'] {
  const of = (wanted: 'v4' | 'v6', value: number): number => (wanted === family ? value : 0);
  return {
    v4PassIn: of('v4', passIn), v4PassOut: of('v4', passOut), v4DropIn: of('v4', dropIn), v4DropOut: of('v4', dropOut),
    v6PassIn: of('v6', passIn), v6PassOut: of('v6', passOut), v6DropIn: of('v6', dropIn), v6DropOut: of('v6', dropOut),
  };
}
