/** What the agent does about alerts by itself: off unless configured, and it only ever closes. */
import { describeError } from '../model/errors.js';
import type { LabelSelector } from '../model/metadata.js';
import { selectorMatches } from '../model/selector.js';
import type { AlertView } from '../model/views.js';
import type { Logger } from '../platform/logger.js';
import { nameOf, type Quarantines } from './quarantines.js';

export interface ResponseRule {
  /** Absent = any. Both given: both must hold. */
  readonly signatureIds?: readonly number[];
  readonly severities?: readonly number[];
  readonly durationMs: number;
  /** Labels of workloads that are spared. */
  readonly except?: LabelSelector;
}

export class AlertResponse {
  constructor(private readonly rules: readonly ResponseRule[], private readonly quarantines: Pick<Quarantines, 'add'>, private readonly log: Logger) {}

  /** The first rule that fits counts. The time counts from the alert: one that was read late begins nothing that would be over. */
  onAlert(alert: AlertView): void {
    const { workload } = alert;
    if (workload === undefined) return;
    const rule = this.rules.find((entry) => fits(entry, alert));
    if (rule === undefined) return;
    if (workload.kind === 'Node') {
      this.log.warn('response.refused', { alert: alert.id, workload: nameOf(workload), reason: 'a node is never put into quarantine' });
      return;
    }
    const reason = `alert ${alert.signatureId} ${alert.signature} (severity ${alert.severity}) from ${alert.source.address}`;
    const request = { workload, untilMs: Date.parse(alert.timestamp) + rule.durationMs, by: 'response', reason, alertId: alert.id };
    this.quarantines.add(request).catch((error: unknown) => {
      this.log.warn('response.failed', { alert: alert.id, workload: nameOf(workload), reason: describeError(error) });
    });
  }
}

function fits({ signatureIds, severities, except }: ResponseRule, alert: AlertView): boolean {
  if (signatureIds === undefined && severities === undefined) return false;
  if (signatureIds !== undefined && !signatureIds.includes(alert.signatureId)) return false;
  if (severities !== undefined && !severities.includes(alert.severity)) return false;
  return except === undefined || !selectorMatches(except, alert.labels ?? {});
}
