import type { PolicyReference } from '../../model/rule.js';
import type { TraceView } from '../../model/views.js';
import type { Palette } from './palette.js';
import { table } from './table.js';

/** The verdict, then one line a filter that was asked, in the order of the packet's way. */
export function traceText(view: TraceView, palette: Palette): string {
  const verdict = view.verdict === 'allow' ? palette.good(view.verdict) : palette.bad(view.verdict);
  const steps = view.steps.length === 0 ? 'no filter of this host is on the way\n' : table([
    { title: 'FILTER', cell: (step) => step.filter },
    { title: 'DIRECTION', cell: (step) => step.direction },
    { title: 'RULESET', cell: (step) => step.ruleset },
    { title: 'RULE', align: 'right', cell: (step) => String(step.ruleId) },
    { title: 'ACTION', cell: (step) => step.action },
    { title: 'POLICY', cell: (step) => policyText(step.policy) },
  ], view.steps);
  return `verdict: ${verdict}\n${steps}`;
}

/** "Kind/namespace/name rule" */
export function policyText(policy: PolicyReference | undefined): string {
  if (policy === undefined) return '';
  const object = [policy.kind, policy.namespace, policy.name].filter((part) => part !== undefined).join('/');
  return policy.rule === undefined ? object : `${object} ${policy.rule}`;
}
