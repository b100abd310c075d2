/** Syslog messages (RFC 5424), and their frames on streams (octet counting: RFC 6587, 3.4.1; RFC 5425, 4.3). Pure. */
import type { AlertView } from '../../model/views.js';
import { alertRecord, asciiJson, type AlertKind } from './sink.js';

/** RFC 5424, table 1, and what syslog.conf(5) calls them. */
export const SYSLOG_FACILITIES = {
  kern: 0, user: 1, mail: 2, daemon: 3, auth: 4, syslog: 5, lpr: 6, news: 7, uucp: 8, cron: 9, authpriv: 10, ftp: 11,
  local0: 16, local1: 17, local2: 18, local3: 19, local4: 20, local5: 21, local6: 22, local7: 23,
} as const;
export type SyslogFacility = keyof typeof SYSLOG_FACILITIES;

/** A signature's severity (1 the most severe) as RFC 5424 has it: critical, error, warning, notice. */
const SEVERITIES: readonly number[] = [2, 3, 4];
const NOTICE = 5;

export interface SyslogHeader {
  readonly facility: SyslogFacility;
  /** HOSTNAME, 1 to 255 printable ASCII characters; others become "_". */
  readonly hostName: string;
  /** PROCID. */
  readonly processId: number;
}

/**
 * `<PRI>1 TIMESTAMP HOSTNAME dfw-agent PROCID ALERT - JSON`. The message is ASCII, so it begins without a BOM (RFC 5424, 6.4), and holds no
 * control characters. TIMESTAMP is when the alert was raised.
 */
export function syslogMessage(alert: AlertView, kind: AlertKind, header: SyslogHeader): string {
  const priority = SYSLOG_FACILITIES[header.facility] * 8 + (SEVERITIES[alert.severity - 1] ?? NOTICE);
  const host = header.hostName.replace(/[^\x21-\x7e]/g, '_').slice(0, 255) || '-';
  const kindName = kind === 'alert' ? 'ALERT' : 'SUMMARY';
  return `<${priority}>1 ${alert.timestamp} ${host} dfw-agent ${header.processId} ${kindName} - ${asciiJson(alertRecord(alert, kind, header.hostName))}`;
}

/** `LENGTH SP MESSAGE`; the message is ASCII, so characters are octets. */
export function octetCounted(message: string): string {
  return `${message.length} ${message}`;
}
