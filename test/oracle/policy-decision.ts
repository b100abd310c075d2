/** What decided, in words that the oracle and the product's answers can both be put in. */
import type { PolicyStep } from './policy-oracle.js';

const PREFIXES: Readonly<Record<string, string>> = {
  'networking.k8s.io NetworkPolicy': 'K8sNetworkPolicy', 'crd.antrea.io ClusterNetworkPolicy': 'AntreaClusterNetworkPolicy', 'crd.antrea.io NetworkPolicy': 'AntreaNetworkPolicy',
};

/** As the oracle puts it. */
export function describeStep({ direction, action, by, policy, table }: PolicyStep): string {
  return `${direction} ${action} ${decider(by, policy, table)}`;
}

function decider(by: PolicyStep['by'], policy: PolicyStep['policy'], table: PolicyStep['table']): string {
  if (table !== undefined) return `${table.name} ${table.id}`;
  if (by === 'isolation') return 'K8sNetworkPolicy:isolation';
  if (by === 'node') return 'K8sNetworkPolicy:node';
  if (policy === undefined) return by;
  const prefix = PREFIXES[`${policy.group} ${policy.kind}`] ?? policy.kind;
  // Rules without a name are known to the oracle by their place only.
  const rule = policy.rule.includes('[') ? '' : ` ${policy.rule}`;
  return `${prefix}:${policy.namespace === undefined ? '' : `${policy.namespace}/`}${policy.name}${rule}`;
}

/** As the product does: the rule table that decided (a policy's may be a variant of it; empty: there is none), and its rule. */
export function describeDecision(direction: string, action: string, table: string, ruleId: number, rule: string | undefined): string {
  if (table === '') return `${direction} ${action} failurePolicy`;
  if (table === 'default') return `${direction} ${action} default`;
  if (table.startsWith('K8sNetworkPolicy:isolation-')) return `${direction} ${action} K8sNetworkPolicy:isolation`;
  if (/^K8sNetworkPolicy:node(-|$)/.test(table)) return `${direction} ${action} K8sNetworkPolicy:node`;
  if (!table.includes(':')) return `${direction} ${action} ${table} ${ruleId}`;
  return `${direction} ${action} ${table.replace(/#.*/, '')}${rule === undefined ? '' : ` ${rule}`}`;
}

/**
 * Whether they say the same. With its own node a workload is at peace before any NetworkPolicy is asked: which of those would allow
 * the packet too makes no difference.
 */
export function sameDecision(expected: string, got: string): boolean {
  if (expected === got) return true;
  const [direction = '', action = ''] = expected.split(' ');
  return action === 'accept' && got === `${direction} accept K8sNetworkPolicy:node` && expected.startsWith(`${direction} accept K8sNetworkPolicy:`);
}
