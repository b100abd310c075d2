/** From policy objects of every kind to the one form that the engine resolves. Pure; one file per family of kinds. */
import type { PolicyObject } from '../../model/policy-objects.js';
import type { Policy, Target } from './ir.js';
import { adminTargets, lowerAdminPolicy } from './lower-admin.js';
import { antreaTargets, lowerAntreaPolicy } from './lower-antrea.js';
import { lowerNetworkPolicy, networkPolicyTargets } from './lower-kubernetes.js';
import { lowerSecurityPolicy, securityTargets } from './lower-security.js';
import type { LoweringContext } from './lowering-context.js';

export type { LoweringContext } from './lowering-context.js';

/**
 * The whole policy or nothing: a rule that cannot be lowered is never left out, as that could permit what it was to refuse.
 * @throws AgentError with the object's key and a path. E_HELD: the tier does not exist (yet). E_INVALID: what the object says cannot be
 * enforced as it stands, whatever else exists.
 */
export function lowerPolicy(object: PolicyObject, context: LoweringContext): Policy {
  switch (object.kind) {
    case 'NetworkPolicy': return lowerNetworkPolicy(object, context);
    case 'AntreaClusterNetworkPolicy':
    case 'AntreaNetworkPolicy': return lowerAntreaPolicy(object, context);
    case 'AdminNetworkPolicy':
    case 'BaselineAdminNetworkPolicy':
    case 'ClusterNetworkPolicy': return lowerAdminPolicy(object);
    case 'SecurityPolicy': return lowerSecurityPolicy(object);
  }
}

/**
 * All targets that lowering would give the policy, of single rules too: whom it may concern. Cheap, for indexing policies that may
 * concern nobody here. Never throws; of a policy that cannot be lowered, what of its targets can be read.
 */
export function targetsOf(object: PolicyObject): readonly Target[] {
  switch (object.kind) {
    case 'NetworkPolicy': return networkPolicyTargets(object);
    case 'AntreaClusterNetworkPolicy':
    case 'AntreaNetworkPolicy': return antreaTargets(object);
    case 'AdminNetworkPolicy':
    case 'BaselineAdminNetworkPolicy':
    case 'ClusterNetworkPolicy': return adminTargets(object);
    case 'SecurityPolicy': return securityTargets(object);
  }
}
