/** Antrea's tiers: which exist without an object, and which numbers are left for those of users. */
import { quote } from './quote.js';

/** By name, which is how users write them; lower numbers are evaluated first. */
export const BUILT_IN_TIERS: ReadonlyMap<string, number> = new Map([
  ['emergency', 50], ['securityops', 100], ['networkops', 150], ['platform', 200], ['application', 250], ['baseline', 253],
]);
/** Of policies that name none. */
export const DEFAULT_TIER = 'application';
/** Evaluated after Kubernetes NetworkPolicies. */
export const BASELINE_TIER = 'baseline';
/** Tiers of users come before the application tier. */
const CUSTOM_TIERS_BELOW = 250;

/**
 * Why a Tier object cannot have this number, or undefined. A built-in name with its own number is fine: Antrea's manifests list
 * the built-in tiers too.
 */
export function tierProblem(name: string, priority: number): string | undefined {
  const own = BUILT_IN_TIERS.get(name);
  if (own !== undefined) return own === priority ? undefined : `tier ${name} has priority ${own}, always; choose another name for ${priority}`;
  for (const [other, taken] of BUILT_IN_TIERS) if (taken === priority) return `${priority} is the priority of the built-in tier ${quote(other)}; choose another`;
  if (priority >= 0 && priority < CUSTOM_TIERS_BELOW) return undefined;
  return `${priority} is not a priority of a tier; it must be from 0 to ${CUSTOM_TIERS_BELOW - 1}, because policies of tiers from ${CUSTOM_TIERS_BELOW} on are built in`;
}
