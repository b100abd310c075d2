import type { AlertSelection, AlertView } from '../../model/views.js';

/** Whether an alert is one of those asked for. `sinceMs`: the last of those it counts is at or after this time, ms since the epoch. */
export function selects(selection: AlertSelection & { readonly sinceMs?: number }, alert: AlertView): boolean {
  const { workload, minSeverity, signatureId, category, sinceMs } = selection;
  if (minSeverity !== undefined && alert.severity > minSeverity) return false;
  if (signatureId !== undefined && alert.signatureId !== signatureId) return false;
  if (category !== undefined && !alert.category.toLowerCase().includes(category.toLowerCase())) return false;
  if (sinceMs !== undefined && Date.parse(alert.last ?? alert.timestamp) < sinceMs) return false;
  return workload === undefined || namesOf(alert).includes(workload);
}

function namesOf(alert: AlertView): string[] {
  const found = alert.filter === undefined ? [] : [alert.filter];
  if (alert.workload === undefined) return found;
  found.push(alert.workload.name);
  if (alert.workload.namespace !== undefined) found.push(`${alert.workload.namespace}/${alert.workload.name}`);
  return found;
}
