/**
 * The executable oracle: what a filter must do with a packet, read word by word from the contract (INTERFACE.md,
 * section 3). Slow and obvious; it shares no code with the compiler or the drivers and keeps no state.
 *
 * - A filter's tables are those applied to it, in order of their names. Their L2 rules are judged first, then their rules,
 *   each list concatenated in that order; the first match decides.
 * - L2: no match, or accept, goes on to the rules; drop ends.
 * - Past the last rule: accept, rule id 0. A filter without any table does what its failure policy says.
 * - Each direction of each filter is judged on its own: the source's filter (out) first, then the destination's (in).
 */
import type { Action, AddressMatch, AddressSet, Layer2Rule, Rule } from '../../src/model/rule.js';
import { contains, parseLiteral } from './addresses.js';
import { ETHERTYPE, hasPorts, type Frame, type OraclePacket } from './packet.js';

export interface OracleTable {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly layer2Rules: readonly Layer2Rule[];
  /** The table's own sets; they hide shared sets of the same name. */
  readonly addressSets: readonly AddressSet[];
}

export interface OracleFilter {
  readonly name: string;
  /** The workload's side of the link, and the host's side. */
  readonly mac: string;
  readonly hostMac: string;
  readonly failurePolicy: 'closed' | 'open';
  /** Tables applied to this filter, in any order. */
  readonly tables: readonly OracleTable[];
}

export interface OracleStep {
  readonly filter: string;
  readonly direction: 'in' | 'out';
  readonly layer: 2 | 3;
  /** Empty where no rule decided. */
  readonly table: string;
  /** 0 = no rule matched. */
  readonly ruleId: number;
  readonly action: Action;
}

export interface OracleVerdict {
  readonly action: Action;
  /** The deciding step of each filter passed, in order; the last one is final. */
  readonly steps: readonly OracleStep[];
}

/** Verdict of the whole path. A missing filter means that end is no workload of this host: nothing is judged there. */
export function judge(
  packet: OraclePacket,
  path: { readonly source?: OracleFilter | undefined; readonly destination?: OracleFilter | undefined },
  sharedSets: readonly AddressSet[] = [],
): OracleVerdict {
  const steps: OracleStep[] = [];
  if (path.source !== undefined) {
    const step = judgeFilter(path.source, 'out', packet, sharedSets);
    steps.push(step);
    if (step.action !== 'accept') return { action: step.action, steps };
  }
  if (path.destination !== undefined) {
    const step = judgeFilter(path.destination, 'in', packet, sharedSets);
    steps.push(step);
    if (step.action !== 'accept') return { action: step.action, steps };
  }
  return { action: 'accept', steps };
}

/** One direction of one filter. */
export function judgeFilter(
  filter: OracleFilter,
  direction: 'in' | 'out',
  packet: OraclePacket,
  sharedSets: readonly AddressSet[] = [],
): OracleStep {
  const step = (layer: 2 | 3, table: string, ruleId: number, action: Action): OracleStep => {
    return { filter: filter.name, direction, layer, table, ruleId, action };
  };
  if (filter.tables.length === 0) return step(3, '', 0, filter.failurePolicy === 'closed' ? 'drop' : 'accept');
  const tables = filter.tables.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const frame = frameOf(filter, direction, packet);
  const layer2 = judgeLayer2(tables, direction, frame, sharedSets);
  if (layer2 !== undefined && layer2.rule.action === 'drop') return step(2, layer2.table, layer2.rule.id, 'drop');
  for (const table of tables) {
    for (const rule of table.rules) {
      if (!ruleMatches(rule, direction, packet, [...table.addressSets, ...sharedSets])) continue;
      // Passing skips the rule tables that are left; what policies say is not this oracle's.
      return rule.action === 'pass' ? step(3, '', 0, 'accept') : step(3, table.name, rule.id, rule.action);
    }
  }
  return step(3, '', 0, 'accept');
}

/** What the L2 rules alone say of a frame, for frames without an IP packet (ARP) and for replies; no match = accept. */
export function judgeFrame(filter: OracleFilter, direction: 'in' | 'out', frame: Frame, sharedSets: readonly AddressSet[] = []): 'accept' | 'drop' {
  if (filter.tables.length === 0) return filter.failurePolicy === 'closed' ? 'drop' : 'accept';
  const tables = filter.tables.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return judgeLayer2(tables, direction, frame, sharedSets)?.rule.action ?? 'accept';
}

export function frameOf(filter: OracleFilter, direction: 'in' | 'out', packet: Pick<OraclePacket, 'family'>): Frame {
  const ethertype = packet.family === 4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6;
  return direction === 'out'
    ? { ethertype, sourceMac: filter.mac, destinationMac: filter.hostMac }
    : { ethertype, sourceMac: filter.hostMac, destinationMac: filter.mac };
}

function judgeLayer2(
  tables: readonly OracleTable[],
  direction: 'in' | 'out',
  frame: Frame,
  sharedSets: readonly AddressSet[],
): { table: string; rule: Layer2Rule } | undefined {
  for (const table of tables) {
    const sets = [...table.addressSets, ...sharedSets];
    for (const rule of table.layer2Rules) {
      if (rule.direction !== 'inout' && rule.direction !== direction) continue;
      if (rule.ethertype !== 'any' && rule.ethertype !== frame.ethertype) continue;
      if (!sideMatches(rule.source, frame.sourceMac, sets)) continue;
      if (!sideMatches(rule.destination, frame.destinationMac, sets)) continue;
      return { table: table.name, rule };
    }
  }
  return undefined;
}

export function ruleMatches(rule: Rule, direction: 'in' | 'out', packet: OraclePacket, sets: readonly AddressSet[]): boolean {
  if (rule.direction !== 'inout' && rule.direction !== direction) return false;
  if (rule.family !== undefined && rule.family !== packet.family) return false;
  if (rule.protocol !== 'any' && rule.protocol !== packet.protocol) return false;
  if (rule.protocol === 1 && packet.family !== 4) return false;
  if (rule.protocol === 58 && packet.family !== 6) return false;
  if (!sideMatches(rule.source, packet.source, sets)) return false;
  if (!sideMatches(rule.destination, packet.destination, sets)) return false;
  if (!portMatches(rule.sourcePorts, packet, packet.sourcePort)) return false;
  if (!portMatches(rule.ports, packet, packet.destinationPort)) return false;
  if (rule.icmp !== undefined) {
    if (packet.protocol !== 1 && packet.protocol !== 58) return false;
    if (packet.icmpType !== rule.icmp.type) return false;
    if (rule.icmp.code !== undefined && (packet.icmpCode ?? 0) !== rule.icmp.code) return false;
  }
  return true;
}

function portMatches(ranges: Rule['ports'], packet: OraclePacket, port: number | undefined): boolean {
  if (ranges.length === 0) return true;
  if (!hasPorts(packet.protocol) || port === undefined) return false;
  return ranges.some((range) => port >= range.first && port <= range.last);
}

/** Any; or one of the members; or, negated, none of them (so an address of a family without members is matched by `not`). */
function sideMatches(side: AddressMatch, address: string, sets: readonly AddressSet[]): boolean {
  if (side.addressSets.length === 0 && side.addresses.length === 0) return true;
  const literals = [...side.addresses];
  for (const name of side.addressSets) {
    const set = sets.find((candidate) => candidate.name === name);
    if (set === undefined) throw new Error(`the oracle was asked about a rule naming the unknown address set ${name}`);
    literals.push(...set.addresses);
  }
  const member = literals.some((literal) => contains(parseLiteral(literal), address));
  return side.not ? !member : member;
}
