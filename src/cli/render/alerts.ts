import type { AlertView, FlowEndpoint } from '../../model/views.js';
import { workloadName } from './filters.js';
import { printable } from './printable.js';
import { table } from './table.js';

export function alertsText(alerts: readonly AlertView[]): string {
  return table([
    { title: 'TIME', cell: (alert) => alert.timestamp },
    { title: 'COUNT', align: 'right', cell: (alert) => String(alert.count ?? 1) },
    { title: 'LAST', cell: (alert) => alert.last ?? alert.timestamp },
    { title: 'SID', align: 'right', cell: (alert) => String(alert.signatureId) },
    { title: 'SEV', align: 'right', cell: (alert) => String(alert.severity) },
    { title: 'ACTION', cell: (alert) => alert.action },
    { title: 'PROTO', cell: (alert) => alert.protocol },
    { title: 'SOURCE', cell: (alert) => endpointText(alert.source) },
    { title: 'DESTINATION', cell: (alert) => endpointText(alert.destination) },
    { title: 'DIR', cell: (alert) => alert.direction ?? '' },
    { title: 'WORKLOAD', cell: (alert) => (alert.workload === undefined ? '' : workloadName(alert.workload)) },
    { title: 'RULE', align: 'right', cell: (alert) => ruleText(alert) ?? '' },
    { title: 'ID', cell: (alert) => alert.id },
    { title: 'SIGNATURE', cell: (alert) => alert.signature },
  ], alerts);
}

/** One line for an alert of an endless list, where columns cannot be measured. */
export function alertLine(alert: AlertView): string {
  const workload = alert.workload === undefined ? '-' : workloadName(alert.workload);
  const parts = [
    alert.timestamp, `[${alert.signatureId}]`, alert.action, alert.protocol, `${endpointText(alert.source)}->${endpointText(alert.destination)}`,
    `severity ${alert.severity}`, workload, ...ruleWords(alert),
    ...(alert.count === undefined || alert.count === 1 ? [] : [`count ${alert.count} until ${alert.last ?? alert.timestamp}`]), JSON.stringify(alert.signature),
  ];
  return `${printable(parts.join(' '))}\n`;
}

/** Of what rules refuse, that they do; by another filter's rule, whose. */
function ruleText({ ruleId, refused, refusedBy, filter }: AlertView): string | undefined {
  if (refused !== true) return ruleId === undefined ? undefined : String(ruleId);
  return `refused${ruleId === undefined ? '' : ` ${ruleId}`}${refusedBy === undefined || refusedBy === filter ? '' : ` at ${refusedBy}`}`;
}

function ruleWords(alert: AlertView): string[] {
  const text = ruleText(alert);
  if (text === undefined) return [];
  return [alert.refused === true ? text.replace('refused ', 'refused by rule ') : `rule ${text}`];
}

function endpointText({ address, port }: FlowEndpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
