/** How the audit log finds out whose packet or connection something is. */
import type { LabelInfo } from '../compile/compiled.js';
import { parseLayer2LogPrefix } from '../drivers/nftables/netdev-layout.js';
import { parseLogPrefix } from '../drivers/nftables/verdicts.js';
import { layer2Id } from '../drivers/ovs/pipeline/layer2-flows.js';
import type { LoggedPacket } from '../drivers/ovs/reports.js';
import type { AuditLog, AuditLookups, LoggedRule } from '../drivers/audit/audit-log.js';
import type { Filter } from '../model/filter.js';
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
