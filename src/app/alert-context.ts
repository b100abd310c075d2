/** Whose alert it is, and which connection, rule and policy it is about: from what is in force and the connection table. */
import { NOT_APPLICABLE_ID } from '../compile/label-ids.js';
import type { LabelInfo } from '../compile/compiled.js';
import type { World } from '../compile/world.js';
import { flowId, TCP_STATES } from '../connections/flow-service.js';
import type { AlertContexts, AlertOwner, ConnectionFacts } from '../drivers/ids/alerts.js';
import type { ConnectionTuple } from '../drivers/ids/eve-alert.js';
import type { Refusals } from './refusals.js';
import type { Filter } from '../model/filter.js';
import { protocolToText } from '../model/protocols.js';
import type { PolicyReference } from '../model/rule.js';
import type { FlowRecord, FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';

export interface AlertContextOptions {
  /** What is in force; undefined before the first apply. */
  readonly world: () => Pick<World, 'filters' | 'namespaces'> | undefined;
  readonly labels: () => ReadonlyMap<number, LabelInfo>;
  /** Filters whose traffic is what the engine gets. Asked for each alert. */
  readonly inspected: () => ReadonlySet<Filter>;
  readonly policyOf: (table: string, ruleId: number) => PolicyReference | undefined;
  readonly refusals: Pick<Refusals, 'of'>;
  readonly flows: Pick<FlowTable, 'query'>;
  readonly clock: Clock;
}

/** An alert may come before the event of its connection, and before a switch's connections are looked at again (each second). */
const RETRY_MS: readonly number[] = [60, 60, 120, 240, 480, 600];

interface Ends { readonly filter: Filter; readonly direction: 'in' | 'out'; readonly peer: Filter | undefined }

export class TrackedAlerts implements AlertContexts {
  private owners: { readonly filters: readonly Filter[]; readonly byAddress: ReadonlyMap<string, Filter> } | undefined;

  constructor(private readonly options: AlertContextOptions) {}

  /** The workload that is inspected: of two the one that was connected to, as of none. */
  owner(tuple: ConnectionTuple): AlertOwner | undefined {
    const ends = this.ends(tuple);
    if (ends === undefined) return undefined;
    const { filter, direction, peer } = ends;
    const { namespace } = filter.workload;
    const namespaceLabels = filter.workload.kind === 'Pod' ? this.options.world()?.namespaces.get(namespace ?? 'default')?.metadata.labels : undefined;
    return {
      workload: filter.workload, filter: filter.name, direction,
      ...(Object.keys(filter.labels).length === 0 ? {} : { labels: { ...filter.labels } }),
      ...(namespaceLabels === undefined || Object.keys(namespaceLabels).length === 0 ? {} : { namespaceLabels: { ...namespaceLabels } }),
      ...(peer === undefined || peer === filter ? {} : { peer: { workload: peer.workload, filter: peer.name } }),
    };
  }

  /** One question to the kernel for all alerts of one address. */
  async connections(tuples: readonly ConnectionTuple[], patient: boolean): Promise<(ConnectionFacts | undefined)[]> {
    const found: (ConnectionFacts | undefined)[] = tuples.map(() => undefined);
    for (let attempt = 0; ; attempt += 1) {
      const open = tuples.flatMap((tuple, index) => {
        const ends = found[index] === undefined ? this.ends(tuple) : undefined;
        return ends === undefined ? [] : [{ index, tuple, ends }];
      });
      const pause = patient ? RETRY_MS[attempt] : undefined;
      for (const address of new Set(open.map(({ tuple, ends }) => localAddress(tuple, ends)))) {
        const records = await this.records(address);
        for (const { index, tuple, ends } of records === undefined ? [] : open) {
          if (localAddress(tuple, ends) !== address) continue;
          const record = records?.get(endsKey(tuple));
          if (record !== undefined) found[index] = this.facts(record, ends.filter);
          // What goes elsewhere may be translated on its way, and rules judge what comes of it: while its connection may still be on its way, nothing is said of it.
          else if (this.filterAt(tuple.destination.address) !== undefined || (patient && pause === undefined)) found[index] = this.refused(tuple);
        }
      }
      if (pause === undefined || !open.some(({ index }) => found[index] === undefined)) return found;
      await new Promise<void>((resolve) => this.options.clock.after(pause, resolve));
    }
  }

  private refused(tuple: ConnectionTuple): ConnectionFacts | undefined {
    const refusal = this.options.refusals.of(tuple, { from: this.filterAt(tuple.source.address), to: this.filterAt(tuple.destination.address) });
    if (refusal === undefined) return undefined;
    const { filter, ruleset, ruleId } = refusal;
    const policy = this.options.policyOf(ruleset, ruleId);
    return { refused: true, refusedBy: filter, ruleset, ruleId, ...(policy === undefined ? {} : { policy }) };
  }

  private ends({ source, destination }: ConnectionTuple): Ends | undefined {
    const from = this.filterAt(source.address);
    const to = this.filterAt(destination.address);
    const inspected = this.options.inspected();
    if (to !== undefined && (from === undefined || inspected.has(to) || !inspected.has(from))) return { filter: to, direction: 'in', peer: from };
    return from === undefined ? undefined : { filter: from, direction: 'out', peer: to };
  }

  private filterAt(address: string): Filter | undefined {
    const filters = this.options.world()?.filters;
    if (filters === undefined) return undefined;
    // Built when the filters change: alerts come by the ten thousand.
    if (this.owners?.filters !== filters) {
      const byAddress = new Map<string, Filter>();
      for (const filter of filters) for (const own of filter.addresses) if (!byAddress.has(own)) byAddress.set(own, filter);
      this.owners = { filters, byAddress };
    }
    return this.owners.byAddress.get(address);
  }

  /** Connections of this address by their ends, both ways round. Undefined: a query that is refused, of more than 10,000 connections. */
  private async records(address: string): Promise<ReadonlyMap<string, FlowRecord> | undefined> {
    const byEnds = new Map<string, FlowRecord>();
    const records = await this.options.flows.query({ addresses: [address] }).catch(refusedAsTooMany);
    if (records === undefined) return undefined;
    for (const record of records) {
      const protocol = protocolToText(record.protocol);
      const hasPorts = protocol !== 'icmp' && protocol !== 'ipv6-icmp';
      const from = { address: record.source, port: hasPorts ? record.sourcePort : 0 };
      const to = { address: record.destination, port: hasPorts ? record.destinationPort : 0 };
      byEnds.set(endsKey({ protocol, source: from, destination: to }), record);
      // As the workload that opened it sees it, before its destination was translated.
      const asked = { address: record.originalDestination, port: hasPorts ? record.originalDestinationPort : 0 };
      for (const other of [{ source: to, destination: from }, { source: from, destination: asked }, { source: asked, destination: from }]) {
        const key = endsKey({ protocol, ...other });
        if (!byEnds.has(key)) byEnds.set(key, record);
      }
    }
    return byEnds;
  }

  private facts(record: FlowRecord, filter: Filter): ConnectionFacts {
    // The rule of the side where the filter stands: it is the destination's unless it is the source's.
    const word = filter.addresses.includes(record.destination) ? record.ruleIdIn : record.ruleIdOut;
    const label = word === NOT_APPLICABLE_ID ? undefined : this.options.labels().get(word);
    const policy = label === undefined ? undefined : this.options.policyOf(label.table, label.ruleId);
    // An end that has not admitted it: its rules do no more, or never did and the packet came that far only (a switch tracks it before both have judged).
    const open = (this.filterAt(record.source) !== undefined && record.ruleIdOut === 0) || (this.filterAt(record.destination) !== undefined && record.ruleIdIn === 0);
    const ended = open ? this.refused({
      protocol: protocolToText(record.protocol), source: { address: record.source, port: record.sourcePort }, destination: { address: record.destination, port: record.destinationPort },
    }) : undefined;
    return {
      flowId: flowId(record),
      connection: {
        source: { address: record.source, port: record.sourcePort }, destination: { address: record.destination, port: record.destinationPort },
        state: TCP_STATES[record.tcpState] ?? '',
      },
      ...(label === undefined ? {} : { ruleId: label.ruleId, ruleset: label.table === '' ? 'default' : label.table }),
      ...(policy === undefined || ended !== undefined ? {} : { policy }),
      ...ended,
    };
  }
}

function localAddress({ source, destination }: ConnectionTuple, { direction }: Ends): string {
  return direction === 'in' ? destination.address : source.address;
}

/** ICMP's numbers are no ports: the engine gives none, and the connection table an id. */
function endsKey({ protocol, source, destination }: ConnectionTuple): string {
  return `${protocol} ${source.address} ${source.port} ${destination.address} ${destination.port}`;
}

function refusedAsTooMany(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'E2BIG') return undefined;
  throw error;
}
