/** The parts of a lowered policy that every kind makes alike: its names, where it stands, its sides, and how it is refused. */
import { AgentError } from '../../model/errors.js';
import type { ObjectMeta } from '../../model/metadata.js';
import { objectKey } from '../../model/objects.js';
import { policyName } from '../../model/policy-name.js';
import { POLICY_KINDS, type PolicyKind, type PolicyObject } from '../../model/policy-objects.js';
import type { Peer, Policy, PolicyRule } from './ir.js';
import type { Place } from './order.js';

export const NO_ISOLATION: Policy['isolates'] = { in: false, out: false, targets: [], log: false };

type Named = { readonly kind: PolicyKind; readonly metadata: Pick<ObjectMeta, 'name' | 'namespace'> };

/** Namespaced kinds; decoders fill in `default` where none is written. */
export function namespaceOf({ metadata }: Named): string {
  return metadata.namespace ?? 'default';
}

export function policyOf(object: PolicyObject, place: Place, priority: number, isolates: Policy['isolates'], rules: readonly PolicyRule[]): Policy {
  const { kind, group } = POLICY_KINDS[object.kind];
  const { name, namespace } = object.metadata;
  return {
    key: objectKey(object), kind: object.kind,
    reference: { kind, ...(namespace === undefined ? {} : { namespace }), name, group },
    order: { ...place, priority, name: policyName(object.kind, object.metadata) },
    isolates, rules,
  };
}

/** The peers on the other end of the connection; at this end anything is meant: whom the rule protects is said by its targets. */
export function peerSides(direction: 'in' | 'out', peers: readonly Peer[] | 'any'): Pick<PolicyRule, 'direction' | 'sources' | 'sourcesExcluded' | 'destinations' | 'destinationsExcluded'> {
  return {
    direction, sourcesExcluded: false, destinationsExcluded: false,
    sources: direction === 'in' ? peers : 'any', destinations: direction === 'out' ? peers : 'any',
  };
}

/** The one way in which something is selected. Guessing among several could permit more than was asked for. */
export function onlyWay<T>(ways: readonly T[], object: PolicyObject, path: string): T {
  const [way, ...more] = ways;
  if (way === undefined) throw invalid(object, path, 'selects nothing; give one way to select');
  if (more.length > 0) throw invalid(object, path, 'selects in several ways at once; give one');
  return way;
}

export function invalid(object: PolicyObject, path: string, message: string): AgentError {
  return new AgentError('E_INVALID', message, { object: objectKey(object), path });
}
