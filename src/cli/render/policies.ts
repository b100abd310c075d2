/** Policies with what became of them, and what they say of a pod. */
import { referenceName } from '../../model/policy-name.js';
import type { EndpointRuleView, EndpointsView, ObjectView, PolicyStatusView } from '../../model/views.js';
import { printable } from './printable.js';
import { table } from './table.js';

/** An object with its status, as list and `-o yaml` show it: the manifest as it was given, `status` added to (or laid over) its own. */
export function withStatus({ manifest, status }: ObjectView): unknown {
  if (status === undefined || typeof manifest !== 'object' || manifest === null) return manifest;
  const own: unknown = Reflect.get(manifest, 'status');
  return { ...manifest, status: { ...(typeof own === 'object' ? own : {}), ...status } };
}

export type PolicyView = ObjectView & { readonly status: PolicyStatusView };

/** One line a policy. */
export function policiesText(objects: readonly PolicyView[]): string {
  const reason = objects.some(({ status }) => status.problem !== undefined);
  return table<PolicyView>([
    { title: 'NAME', cell: ({ status }) => status.name },
    { title: 'APPLIED-TO', align: 'right', cell: ({ status }) => String(status.filters.length) },
    { title: 'RULES', align: 'right', cell: ({ status }) => String(status.ruleCount) },
    { title: 'TIER-PRIORITY', align: 'right', cell: ({ status }) => numberText(status.tierPriority) },
    { title: 'PRIORITY', align: 'right', cell: ({ status }) => numberText(status.priority) },
    { title: 'STATE', cell: ({ status }) => status.state },
    { title: 'HITS', align: 'right', cell: ({ status }) => String(status.hits) },
    { title: 'SOURCE', cell: ({ source }) => source },
    ...(reason ? [{ title: 'REASON', cell: ({ status }: PolicyView): string => reasonText(status) }] : []),
  ], objects);
}

/** Antrea's spelling of what a Kubernetes policy has not. */
function numberText(value: number | undefined): string {
  return value === undefined ? '<NONE>' : String(value);
}

function reasonText({ problem }: PolicyStatusView): string {
  return problem === undefined ? '' : [problem.path, problem.message].filter((part) => part !== '').join(': ');
}

/** As antctl: policies applied, then the rules of others that name the pod as a peer. */
export function endpointsText({ endpoints }: EndpointsView): string {
  return endpoints.map(({ namespace, name, policies, ingresssrcrules, egressdstrules }) => [
    `Endpoint ${printable(namespace)}/${printable(name)}\n`,
    section('Applied Policies', policies.length === 0 ? '' : table([
      { title: 'NAME', cell: referenceName }, { title: 'KIND', cell: ({ kind }) => kind }, { title: 'GROUP', cell: ({ group }) => group ?? '' },
    ], policies)),
    section('Egress Rules', rulesText(egressdstrules)),
    section('Ingress Rules', rulesText(ingresssrcrules)),
  ].join('\n')).join('\n');
}

function section(title: string, text: string): string {
  return text === '' ? `${title}: none\n` : `${title}:\n${text}`;
}

function rulesText(rules: readonly EndpointRuleView[]): string {
  if (rules.length === 0) return '';
  return table([
    { title: 'NAME', cell: ({ policyref }) => referenceName(policyref) }, { title: 'INDEX', align: 'right', cell: ({ ruleindex }) => String(ruleindex) },
    { title: 'RULE', cell: ({ rule }) => rule ?? '' },
  ], rules);
}
