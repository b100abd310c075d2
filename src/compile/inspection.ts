/** IDPSPolicies as what they mean: a TrafficControl of the same name for each, to the engine. Pure. */
import { objectKey, type IdpsPolicyObject, type TrafficControlObject, type TrafficTarget } from '../model/objects.js';
import type { SignatureAction, SignatureSelection } from '../model/signature.js';
import type { Problem } from './problem.js';

/** Where the engine is. */
export interface InspectionPorts {
  /** Gets copies. */
  readonly tap: string;
  /** Traffic that the engine stands in the path of goes out by the one and comes back by the other. Absent: it only gets copies. */
  readonly inline?: { readonly tap: string; readonly returnTap: string };
}

/**
 * `ports` undefined: this host has no engine, and its policies are not in force. A TrafficControl of the same name stands, and its policy is
 * not in force either. In the order of the policies.
 */
export function inspectionControls(
  policies: readonly IdpsPolicyObject[], declared: ReadonlyMap<string, TrafficControlObject>, ports: InspectionPorts | undefined,
): { readonly controls: readonly TrafficControlObject[]; readonly inForce: readonly IdpsPolicyObject[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const refuse = (policy: IdpsPolicyObject, path: string, message: string): readonly [] => {
    problems.push({ object: objectKey(policy), path, message: `${message}: the policy is not in force` });
    return [];
  };
  const inForce: IdpsPolicyObject[] = [];
  const controls = policies.flatMap((policy): readonly TrafficControlObject[] => {
    const { metadata, appliedTo, direction, mode, onFailure, match } = policy;
    if (ports === undefined) return refuse(policy, '', 'intrusion detection is off on this host (ids.enabled)');
    if (declared.has(objectKey({ kind: 'TrafficControl', metadata }))) return refuse(policy, 'metadata.name', 'there is a TrafficControl of this name, which would be made for it');
    const common = { kind: 'TrafficControl', metadata, appliedTo, direction, inspection: { mode, onFailure }, ...(match === undefined ? {} : { match }) } as const;
    if (mode === 'prevent' && ports.inline === undefined) return refuse(policy, 'spec.mode', 'the engine of this host only gets copies (ids.mode)');
    inForce.push(policy);
    if (mode === 'detect' || ports.inline === undefined) return [{ ...common, action: 'Mirror', target: device(ports.tap) }];
    return [{ ...common, action: 'Redirect', target: device(ports.inline.tap), returnPort: device(ports.inline.returnTap) }];
  });
  return { controls, inForce, problems };
}

const device = (name: string): TrafficTarget => ({ type: 'device', name, options: {} });

/** A signature that several policies give different actions has the strictest. */
const STRICT: readonly SignatureAction[] = ['pass', 'alert', 'drop', 'reject'];

/** What the one engine of the host must have for all policies together; without any: everything, for TrafficControls that lead to it. */
export function selectionOf(policies: readonly IdpsPolicyObject[]): SignatureSelection {
  const actions: Record<number, SignatureAction> = {};
  for (const [sid, action] of policies.flatMap(({ signatures }) => Object.entries(signatures.actions ?? {}))) {
    const number = Number(sid);
    const known = actions[number];
    if (known === undefined || STRICT.indexOf(action) > STRICT.indexOf(known)) actions[number] = action;
  }
  const chosen = policies.map(({ signatures: { actions: _, ...rest } }) => rest);
  const everything = chosen.length === 0 || chosen.some((selection) => Object.keys(selection).length === 0);
  const different = [...new Map(chosen.map((selection) => [JSON.stringify(selection), selection])).values()];
  return {
    ...(everything ? {} : different.length === 1 ? different[0] : { anyOf: different }),
    ...(Object.keys(actions).length === 0 ? {} : { actions }),
  };
}
