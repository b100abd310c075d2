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
    { title: 'RULE', align: 'right', cell: (alert) => (alert.ruleId === undefined ? '' : String(alert.ruleId)) },
    { title: 'ID', cell: (alert) => alert.id },
    { title: 'SIGNATURE', cell: (alert) => alert.signature },
  ], alerts);
}

/** One line for an alert of an endless list, where columns cannot be measured. */
export function alertLine(alert: AlertView): string {
  const workload = alert.workload === undefined ? '-' : workloadName(alert.workload);
  const parts = [
    alert.timestamp, `[${alert.signatureId}]`, alert.action, alert.protocol, `${endpointText(alert.source)}->${endpointText(alert.destination)}`,
    `severity ${alert.severity}`, workload, ...(alert.ruleId === undefined ? [] : [`rule ${alert.ruleId}`]),
    ...(alert.count === undefined || alert.count === 1 ? [] : [`count ${alert.count} until ${alert.last ?? alert.timestamp}`]), JSON.stringify(alert.signature),
  ];
  return `${printable(parts.join(' '))}\n`;
}

function endpointText({ address, port }: FlowEndpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
