import { policyRuleName } from '../../model/policy-name.js';
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
    { title: 'POLICY', cell: (step) => (step.policy === undefined ? '' : policyRuleName(step.policy)) },
  ], view.steps);
  return `verdict: ${verdict}\n${steps}`;
}
