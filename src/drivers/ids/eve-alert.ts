import { createHash } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import type { AlertView, FlowEndpoint } from '../../model/views.js';
import { alertDetails, bounded } from './eve-details.js';
import type { EveRecord } from './eve-tail.js';

/** Addresses in canonical text (RFC 5952); ports 0 where the protocol has none. */
export interface ConnectionTuple {
  /** Lower case: "tcp", "udp", "icmp", "ipv6-icmp", "sctp", or the protocol number. */
  readonly protocol: string;
  /** The side that opened the connection, as far as the engine saw it. */
  readonly source: FlowEndpoint;
  readonly destination: FlowEndpoint;
  /** ICMP, where the packet that matched is of this direction: its type and code. */
  readonly icmp?: { readonly type: number; readonly code: number };
}
export interface EveAlert {
  /** Without the enrichment. `source` and `destination` are those of the packet that matched. */
  readonly view: AlertView;
  readonly connection: ConnectionTuple;
  /** `view.timestamp` in ms since the epoch. */
  readonly timeMs: number;
}

/**
 * Reads a record of event_type "alert" (Suricata 7 EVE). undefined when the record is another event or lacks what an alert
 * must have: timestamp, signature id and addresses.
 */
export function parseEveAlert(record: EveRecord): EveAlert | undefined {
  if (record['event_type'] !== 'alert') return undefined;
  const alert = object(record['alert']);
  const timeMs = parseEveTime(text(record['timestamp']));
  const signatureId = number(alert?.['signature_id']);
  const source = endpoint(record, 'src');
  const destination = endpoint(record, 'dest');
  if (alert === undefined || timeMs === undefined || signatureId === undefined || source === undefined || destination === undefined) return undefined;
  const protocol = (bounded(record['proto']) ?? 'unknown').toLowerCase();
  const flow = object(record['flow']);
  const opener = flow === undefined ? undefined : endpoint(flow, 'src');
  const answerer = flow === undefined ? undefined : endpoint(flow, 'dest');
  const view: AlertView = {
    id: alertId(record, signatureId, source, destination),
    timestamp: new Date(timeMs).toISOString(),
    signatureId,
    signature: bounded(alert['signature']) ?? '',
    category: bounded(alert['category']) ?? '',
    severity: number(alert['severity']) ?? LOWEST_SEVERITY,
    action: bounded(alert['action']) ?? 'allowed',
    protocol,
    source,
    destination,
    ...alertDetails(record),
  };
  const connection = { protocol, source: opener ?? source, destination: answerer ?? destination };
  const type = connection.source.address === source.address ? number(record['icmp_type']) : undefined;
  return { view, timeMs, connection: { ...connection, ...(type === undefined ? {} : { icmp: { type, code: number(record['icmp_code']) ?? 0 } }) } };
}

/** What Suricata gives a signature without a priority; 1 is the most severe. */
const LOWEST_SEVERITY = 3;

/** The same for the same event however often the file is read: from flow, signature, time and both ends. */
function alertId(record: EveRecord, signatureId: number, source: FlowEndpoint, destination: FlowEndpoint): string {
  const alert = object(record['alert']);
  const facts = [record['flow_id'], alert?.['gid'], signatureId, record['timestamp'], source, destination];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 16);
}

/** "2026-01-02T03:04:05.678901+0000"; undefined when it is no time. */
export function parseEveTime(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const time = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isNaN(time) ? undefined : time;
}

function endpoint(record: EveRecord, side: 'src' | 'dest'): FlowEndpoint | undefined {
  const address = text(record[`${side}_ip`]);
  if (address === undefined || !ipaddr.isValid(address)) return undefined;
  return { address: ipaddr.parse(address).toString(), port: number(record[`${side}_port`]) ?? 0 };
}

function object(value: unknown): EveRecord | undefined {
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is EveRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
