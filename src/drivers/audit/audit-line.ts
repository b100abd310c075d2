/** Lines of the audit log, in the field order of NSX's dfwpktlogs or as JSON. Pure. */
import { ICMP, IPV6_ICMP, TCP, UDP } from '../../model/protocols.js';
import type { WorkloadReference } from '../../model/objects.js';
import type { AlertView } from '../../model/views.js';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, type PacketHeaders } from '../../model/packet-headers.js';

export type AuditFormat = 'nsx' | 'json';
export type AuditAction = 'accept' | 'drop' | 'reject';
export type AuditDirection = 'in' | 'out';

/** The rule a line speaks of. */
export interface AuditRule {
  /** Name of the rule table, "domain-c25". */
  readonly table: string;
  readonly ruleId: number;
  readonly direction: AuditDirection;
  readonly action: AuditAction;
  readonly tag?: string;
}
export interface MatchEvent {
  readonly timeMs: number;
  /** undefined when the interface is gone meanwhile: printed as 0. */
  readonly filterHash: number | undefined;
  readonly rule: AuditRule;
  /** NSX's word for why the line was written; "match" for a rule. */
  readonly reason: string;
  /** Of the whole packet, bytes. */
  readonly length: number;
  readonly headers: PacketHeaders;
}
export interface TermEvent {
  readonly timeMs: number;
  readonly filterHash: number | undefined;
  readonly rule: AuditRule;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly termination: Termination;
  /** original: from source to destination. */
  readonly packets: { readonly original: number; readonly reply: number };
  readonly bytes: { readonly original: number; readonly reply: number };
}
export type Termination = 'FIN' | 'RST' | 'TIMEOUT';

/** How a connection ended, from the last TCP state of conntrack (enum tcp_conntrack: TIME_WAIT 7, CLOSE 8, set by a RST). */
export function terminationOf(protocol: number, tcpState: number): Termination {
  if (protocol !== TCP) return 'TIMEOUT';
  if (tcpState === 7) return 'FIN';
  return tcpState === 8 ? 'RST' : 'TIMEOUT';
}

/** One line with its newline, for a packet that a rule with logging decided. */
export function formatMatch(event: MatchEvent, format: AuditFormat): string {
  const { headers, rule } = event;
  if (format === 'json') {
    return jsonLine({
      timestamp: timestamp(event.timeMs),
      filter: hashText(event.filterHash),
      family: familyName(headers.ethertype),
      reason: event.reason,
      action: ACTION_NAMES[rule.action],
      ruleset: rule.table,
      ruleId: rule.ruleId,
      direction: rule.direction.toUpperCase(),
      length: event.length,
      ...(headers.protocol === undefined ? { ethertype: ethertypeText(headers.ethertype) } : { protocol: jsonProtocol(headers.protocol) }),
      source: jsonEndpoint(headers.source, headers.sourcePort),
      destination: jsonEndpoint(headers.destination, headers.destinationPort),
      tcpFlags: headers.tcpFlags === undefined ? undefined : tcpFlagsText(headers.tcpFlags),
      icmpType: headers.icmpType,
      icmpCode: headers.icmpCode,
      tag: rule.tag,
    });
  }
  return nsxLine([
    timestamp(event.timeMs),
    hashText(event.filterHash),
    familyName(headers.ethertype),
    event.reason,
    ACTION_NAMES[rule.action],
    `${word(rule.table)}/${String(rule.ruleId)}`,
    rule.direction.toUpperCase(),
    String(event.length),
    headers.protocol === undefined ? `ETHERTYPE ${ethertypeText(headers.ethertype)}` : protocolName(headers.protocol),
    addressPair(headers.source, headers.sourcePort, headers.destination, headers.destinationPort),
    headers.tcpFlags === undefined ? '' : tcpFlagsText(headers.tcpFlags),
    word(rule.tag ?? ''),
  ]);
}

/** One line with its newline, for the end of a connection that a rule with logging admitted. */
export function formatTerm(event: TermEvent, format: AuditFormat): string {
  const { rule, packets, bytes } = event;
  const family = familyName(event.source.includes(':') ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const withPorts = event.protocol !== ICMP && event.protocol !== IPV6_ICMP;
  const sourcePort = withPorts ? event.sourcePort : undefined;
  const destinationPort = withPorts ? event.destinationPort : undefined;
  if (format === 'json') {
    return jsonLine({
      timestamp: timestamp(event.timeMs),
      filter: hashText(event.filterHash),
      family,
      reason: 'TERM',
      action: ACTION_NAMES[rule.action],
      ruleset: rule.table,
      ruleId: rule.ruleId,
      direction: rule.direction.toUpperCase(),
      protocol: jsonProtocol(event.protocol),
      termination: event.termination,
      source: jsonEndpoint(event.source, sourcePort),
      destination: jsonEndpoint(event.destination, destinationPort),
      packets,
      bytes,
      tag: rule.tag,
    });
  }
  return nsxLine([
    timestamp(event.timeMs),
    hashText(event.filterHash),
    family,
    'TERM',
    ACTION_NAMES[rule.action],
    `${word(rule.table)}/${String(rule.ruleId)}`,
    rule.direction.toUpperCase(),
    protocolName(event.protocol),
    event.termination,
    addressPair(event.source, sourcePort, event.destination, destinationPort),
    `${String(packets.original)}/${String(packets.reply)}`,
    `${String(bytes.original)}/${String(bytes.reply)}`,
    word(rule.tag ?? ''),
  ]);
}

/** One line with its newline: lines left out for a rule's rate limit. */
export function formatSuppressed(timeMs: number, lines: number, rule: { readonly table: string; readonly ruleId: number }, format: AuditFormat): string {
  if (format === 'json') return jsonLine({ timestamp: timestamp(timeMs), reason: 'suppressed', lines, ruleset: rule.table, ruleId: rule.ruleId });
  return nsxLine([timestamp(timeMs), `dfw-agent suppressed ${String(lines)} lines of rule ${word(rule.table)}/${String(rule.ruleId)}`]);
}

/** One line with its newline: lines lost because the file could not be written fast enough, or packets the kernel could not hand over. */
export function formatLost(timeMs: number, lines: number, format: AuditFormat): string {
  if (format === 'json') return jsonLine({ timestamp: timestamp(timeMs), reason: 'lost', lines });
  return nsxLine([timestamp(timeMs), `dfw-agent lost ${String(lines)} lines`]);
}

/** One line with its newline for an IDS alert; `filterHash` of the workload's filter, where it is known. */
export function formatAlert(alert: AlertView, filterHash: number | undefined, format: AuditFormat): string {
  if (format === 'json') {
    const { source, destination, ...rest } = alert;
    return jsonLine({ reason: 'alert', ...rest, filterHash: hashText(filterHash), source, destination });
  }
  const family = familyName(alert.source.address.includes(':') ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const workload = alert.workload;
  return nsxLine([
    alert.timestamp,
    hashText(filterHash),
    family,
    'alert',
    word(alert.action.toUpperCase()),
    `sid/${String(alert.signatureId)}`,
    `severity/${String(alert.severity)}`,
    word(alert.protocol.toUpperCase()),
    addressPair(alert.source.address, alert.source.port, alert.destination.address, alert.destination.port),
    alertRule(alert),
    alert.flowId === undefined ? '' : `flow/${word(alert.flowId)}`,
    workload === undefined ? '' : workloadText(workload),
    alert.count === undefined || alert.count === 1 ? '' : `count/${String(alert.count)}`,
    JSON.stringify(alert.signature),
  ]);
}

/** The rule that admitted it; of what rules refuse, the one that does, with its table. */
function alertRule({ ruleId, ruleset = 'default', refused }: AlertView): string {
  if (refused === true) return `refused/${word(ruleset)}/${String(ruleId ?? 0)}`;
  return ruleId === undefined ? '' : `rule/${String(ruleId)}`;
}

/** What became of a workload's quarantine. */
export interface QuarantineLine {
  readonly timeMs: number;
  readonly event: 'begin' | 'extend' | 'release' | 'end';
  readonly workload: WorkloadReference;
  readonly untilMs: number;
  readonly by: string;
  readonly reason: string;
  readonly alertId?: string;
}

/** One line with its newline. */
export function formatQuarantine({ timeMs, event, workload, untilMs, by, reason, alertId }: QuarantineLine, format: AuditFormat): string {
  const alert = alertId === undefined ? {} : { alertId };
  if (format === 'json') return jsonLine({ timestamp: timestamp(timeMs), reason: 'quarantine', event, workload, until: timestamp(untilMs), by, why: reason, ...alert });
  return nsxLine([
    timestamp(timeMs), 'dfw-agent quarantine', event, workloadText(workload), `until/${timestamp(untilMs)}`, `by/${word(by)}`,
    alertId === undefined ? '' : `alert/${word(alertId)}`, JSON.stringify(reason),
  ]);
}

function workloadText({ kind, namespace, name }: WorkloadReference): string {
  return `workload/${[kind, namespace, name].filter((part) => part !== undefined).map(word).join('/')}`;
}

/** pf's letters in its order, as NSX prints them: "S", "SA", "SEW". No flag at all: "". */
export function tcpFlagsText(flags: number): string {
  return 'FSRPAUEW'.split('').filter((_, bit) => (flags & (1 << bit)) !== 0).join('');
}

const ACTION_NAMES: Readonly<Record<AuditAction, string>> = { accept: 'PASS', drop: 'DROP', reject: 'REJECT' };

function timestamp(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

function hashText(hash: number | undefined): string {
  return (hash ?? 0).toString(16).padStart(8, '0');
}

function familyName(ethertype: number): string {
  if (ethertype === ETHERTYPE_IPV4) return 'INET';
  return ethertype === ETHERTYPE_IPV6 ? 'INET6' : 'L2';
}

function ethertypeText(ethertype: number): string {
  return ethertype.toString(16).padStart(4, '0');
}

function protocolName(protocol: number): string {
  if (protocol === TCP) return 'TCP';
  if (protocol === UDP) return 'UDP';
  return protocol === ICMP || protocol === IPV6_ICMP ? 'ICMP' : `PROTO ${String(protocol)}`;
}

/** JSON has a number of its own for other protocols. */
function jsonProtocol(protocol: number): string | number {
  const name = protocolName(protocol);
  return name.startsWith('PROTO') ? protocol : name;
}

function jsonEndpoint(address: string | undefined, port: number | undefined): object | undefined {
  return address === undefined ? undefined : { address, ...(port === undefined ? {} : { port }) };
}

/** "a/1->b/2", "a->b" without ports, "" without addresses. */
function addressPair(source: string | undefined, sourcePort: number | undefined, destination: string | undefined, destinationPort: number | undefined): string {
  if (source === undefined || destination === undefined) return '';
  const end = (address: string, port: number | undefined): string => (port === undefined ? address : `${address}/${String(port)}`);
  return `${end(source, sourcePort)}->${end(destination, destinationPort)}`;
}

/** Names come from manifests: they must stay one field of one line. */
function word(text: string): string {
  return text.replace(/[\p{C}\p{Z}]/gu, '_');
}

function nsxLine(fields: readonly string[]): string {
  return `${fields.filter((field) => field !== '').join(' ')}\n`;
}

function jsonLine(fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(fields)}\n`;
}
