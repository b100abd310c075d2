/** How the audit log and the IDS find out whose packet or connection something is. */
import { NOT_APPLICABLE_ID } from '../compile/label-ids.js';
import type { LabelInfo } from '../compile/compiled.js';
import { parseLayer2LogPrefix } from '../drivers/nftables/netdev-layout.js';
import { parseLogPrefix } from '../drivers/nftables/verdicts.js';
import { layer2Id } from '../drivers/ovs/pipeline/layer2-flows.js';
import type { LoggedPacket } from '../drivers/ovs/reports.js';
import type { AuditLog, AuditLookups, LoggedRule } from '../drivers/audit/audit-log.js';
import type { AlertContext, FlowLookup } from '../drivers/ids/alerts.js';
import type { ConnectionTuple } from '../drivers/ids/eve-alert.js';
import type { Filter } from '../model/filter.js';
import { protocolToText } from '../model/protocols.js';
import type { FlowRecord, FlowTable } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Datapath } from './datapath.js';

export function auditLookups(datapath: Datapath): AuditLookups {
  const filters = (): readonly Filter[] => datapath.realized?.world.filters ?? [];
  const byIndex = (index: number): Filter | undefined => {
    for (const link of datapath.links.values()) if (link.index === index) return filters().find((filter) => filter.interface === link.name);
    return undefined;
  };
  return {
    parsePrefix: (prefix) => {
      const frame = parseLayer2LogPrefix(prefix);
      if (frame !== undefined) return { ...frame, table: layer2Table(frame.table) };
      const parsed = parseLogPrefix(prefix);
      return parsed === undefined ? undefined : loggedRule(datapath.labels.get(parsed.labelId));
    },
    // A reply that is judged again comes from the other side, so both interfaces are tried.
    filterByInterface: (direction, indev, outdev) => (direction === 'in' ? (byIndex(outdev) ?? byIndex(indev)) : (byIndex(indev) ?? byIndex(outdev)))?.hash,
    filterByName: (name) => filters().find((filter) => filter.name === name)?.hash,
    endedRule: (labelId, direction, ended) => {
      const label = datapath.labels.get(labelId);
      if (label?.log !== true || label.side !== direction) return undefined;
      const address = direction === 'in' ? ended.destination : ended.source;
      return { rule: ruleOf(label), filterHash: filters().find((filter) => filter.addresses.includes(address))?.hash };
    },
  };
}

/** A packet that the switch reported, for the log. Ports are named by the bridge, not by the kernel: some have no interface there. */
export function logReported(audit: Pick<AuditLog, 'onDecided'>, datapath: Datapath, { label, layer2, from, to, frame, length }: LoggedPacket): void {
  const rule = layer2 ? layer2Rule(datapath, label, to) : loggedRule(datapath.labels.get(label));
  // Behind both MAC addresses, and a VLAN tag (IEEE 802.1Q) where there is one.
  const network = frame[12] === 0x81 && frame[13] === 0 ? 18 : 14;
  const ethertype = ((frame[network - 2] ?? 0) << 8) | (frame[network - 1] ?? 0);
  const packet = { ethertype, length: length - network, payload: frame.subarray(network), timestampMs: 0 };
  // As on nf_tables, a reply that is judged again comes from the other side.
  const ports = rule?.direction === 'in' ? [to, from] : [from, to];
  audit.onDecided(rule, packet, () => {
    const filters = datapath.realized?.world.filters ?? [];
    for (const port of ports) {
      const filter = filters.find((entry) => entry.interface === port);
      if (filter !== undefined) return filter.hash;
    }
    return undefined;
  });
}

function loggedRule(label: LabelInfo | undefined): LoggedRule | undefined {
  return label === undefined ? undefined : ruleOf(label);
}

function ruleOf(label: LabelInfo): LoggedRule {
  return { table: label.table, ruleId: label.ruleId, direction: label.side, action: label.action, ...(label.tag === undefined ? {} : { tag: label.tag }) };
}

/** In the log, layer 2 rules have a section of their own, as getrules shows them. */
const layer2Table = (table: string): string => `${table}_L2`;

/** Layer 2 rules of the source's filter are asked before it is known where a frame goes. */
function layer2Rule(datapath: Datapath, id: number, to: string | undefined): LoggedRule | undefined {
  for (const tables of datapath.realized?.compilation.sources.values() ?? []) {
    for (const { table } of tables) {
      for (const rule of table.layer2Rules) {
        const { name } = table.metadata;
        if (layer2Id({ table: name, rule }) !== id) continue;
        return { table: layer2Table(name), ruleId: rule.id, direction: to === undefined ? 'out' : 'in', action: rule.action };
      }
    }
  }
  return undefined;
}

/** Label ids of the rules that log admitted connections, whose ends are logged too. */
export function loggedIds(datapath: Datapath): Uint32Array {
  return Uint32Array.from([...datapath.labels.values()].filter((label) => label.log && label.action === 'accept').map((label) => label.id));
}

/** Finds an alert's connection among the flows; the workload also when the connection is gone. */
export class TrackedFlows implements FlowLookup {
  constructor(private readonly datapath: Datapath, private readonly flows: FlowTable, private readonly clock: Clock) {}

  async find(tuple: ConnectionTuple): Promise<AlertContext | undefined> {
    const filters = this.datapath.realized?.world.filters ?? [];
    const owner = (address: string): Filter | undefined => filters.find((filter) => filter.addresses.includes(address));
    const destination = owner(tuple.destination.address);
    const filter = destination ?? owner(tuple.source.address);
    if (filter === undefined) return undefined;
    const context: AlertContext = { filter: filter.name, workload: filter.workload };
    const local = destination === undefined ? tuple.source.address : tuple.destination.address;
    const record = await this.record(local, tuple);
    if (record === undefined) return context;
    // The rule of the side where the filter stands: it is the destination's unless it is the source's.
    const inbound = filter.addresses.includes(record.destination);
    const word = inbound ? record.ruleIdIn : record.ruleIdOut;
    const label = word === NOT_APPLICABLE_ID ? undefined : this.datapath.labels.get(word);
    return { ...context, flowId: `${record.id.toString(16).padStart(8, '0')}00000000`, ...(label === undefined ? {} : { ruleId: label.ruleId }) };
  }

  private async record(local: string, tuple: ConnectionTuple): Promise<FlowRecord | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const records = await this.flows.query({ addresses: [local] });
      const found = records.find((entry) => protocolToText(entry.protocol) === tuple.protocol && (
        sameEnds(entry.source, entry.sourcePort, entry.destination, entry.destinationPort, tuple)
        || sameEnds(entry.destination, entry.destinationPort, entry.source, entry.sourcePort, tuple)));
      const pause = RETRY_MS[attempt - 1];
      if (found !== undefined || pause === undefined) return found;
      await new Promise<void>((resolve) => this.clock.after(pause, resolve));
    }
  }
}

/** An alert may come before the event of its connection, and before a switch's connections are looked at again (each second). */
const RETRY_MS: readonly number[] = [60, 60, 120, 240, 480, 600];

function sameEnds(source: string, sourcePort: number, destination: string, destinationPort: number, tuple: ConnectionTuple): boolean {
  return source === tuple.source.address && destination === tuple.destination.address
    && (tuple.source.port === 0 || (sourcePort === tuple.source.port && destinationPort === tuple.destination.port));
}
