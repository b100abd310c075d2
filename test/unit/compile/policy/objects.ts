/** Policy objects as decoders make them, with what a test does not care about filled in. */
import { lowerPolicy, type LoweringContext } from '../../../../src/compile/policy/lower.js';
import { BUILT_IN_TIERS } from '../../../../src/model/tiers.js';
import type { Policy, PolicyRule } from '../../../../src/compile/policy/ir.js';
import { isAgentError, type AgentError } from '../../../../src/model/errors.js';
import type { LabelSelector, ObjectMeta } from '../../../../src/model/metadata.js';
import type {
  AdminPolicyObject, AdminRule, AntreaPolicyObject, AntreaRule, NetworkPolicyObject, PolicyObject, SecurityPolicyObject, SecurityRule,
} from '../../../../src/model/policy-objects.js';

export const labels = (matchLabels: Record<string, string> = {}): LabelSelector => ({ matchLabels, matchExpressions: [] });
const meta = (name: string, namespace?: string): ObjectMeta => ({ name, labels: {}, ...(namespace === undefined ? {} : { namespace }) });

export const networkPolicy = (rest: Partial<NetworkPolicyObject> = {}): NetworkPolicyObject => ({
  kind: 'NetworkPolicy', metadata: meta('np1', 'default'), podSelector: labels({ app: 'redis' }), policyTypes: ['Ingress'], ingress: [], egress: [], ...rest,
});

export const antreaRule = (rest: Partial<AntreaRule> = {}): AntreaRule => ({
  name: 'DropFromGuestbook', action: 'Drop', peers: [], ports: [], protocols: [], toServices: [], appliedTo: [], log: false, ...rest,
});
export const clusterPolicy = (rest: Partial<AntreaPolicyObject> = {}): AntreaPolicyObject => ({
  kind: 'AntreaClusterNetworkPolicy', metadata: meta('acnp-drop-access-to-redis'), tier: 'securityops', priority: 5,
  appliedTo: [{ podSelector: labels({ app: 'redis' }) }], ingress: [], egress: [], ...rest,
});
export const namespacedPolicy = (rest: Partial<AntreaPolicyObject> = {}): AntreaPolicyObject =>
  clusterPolicy({ kind: 'AntreaNetworkPolicy', metadata: meta('annp', 'shop'), tier: 'application', ...rest });

export const adminRule = (rest: Partial<AdminRule> = {}): AdminRule => ({ name: '', action: 'Drop', peers: [{ namespaces: labels() }], ports: [], ...rest });
export const adminPolicy = (rest: Partial<AdminPolicyObject> = {}): AdminPolicyObject => ({
  kind: 'AdminNetworkPolicy', metadata: meta('isolate-tenants'), tier: 'Admin', priority: 30, subject: { namespaces: labels({ tenant: 'a' }) }, ingress: [], egress: [], ...rest,
});

export const securityRule = (rest: Partial<SecurityRule> = {}): SecurityRule => ({
  name: 'mongo', sources: [], sourcesExcluded: false, destinations: [], destinationsExcluded: false, services: [], action: 'Allow', direction: 'InOut',
  log: false, disabled: false, appliedTo: [], ...rest,
});
export const securityPolicy = (rest: Partial<SecurityPolicyObject> = {}): SecurityPolicyObject => ({
  kind: 'SecurityPolicy', metadata: meta('db-access'), category: 'Application', sequence: 10, disabled: false, appliedTo: [{ group: 'demo-vms' }], rules: [], ...rest,
});

export const context: LoweringContext = {
  tierPriority: (name) => (name === 'mytier' ? 10 : BUILT_IN_TIERS.get(name)),
  loggingAnnotation: (namespace) => namespace === 'audited',
};
export const lower = (object: PolicyObject): Policy => lowerPolicy(object, context);

/** The only rule. */
export function onlyRule(object: PolicyObject): PolicyRule {
  const { rules } = lower(object);
  const [rule] = rules;
  if (rule === undefined || rules.length > 1) throw new Error(`${rules.length} rules`);
  return rule;
}

/** The error that lowering ends in. */
export function refusal(object: PolicyObject): Pick<AgentError, 'code' | 'object' | 'path' | 'message'> {
  try {
    lower(object);
  } catch (error) {
    if (!isAgentError(error)) throw error;
    return { code: error.code, object: error.object, path: error.path, message: error.message };
  }
  throw new Error('the policy was lowered');
}
