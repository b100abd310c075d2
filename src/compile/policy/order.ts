/**
 * The one scale on which policies of all kinds stand. Antrea's tier numbers are kept; NSX categories and the Kubernetes network
 * policy API stand between them. docs/order.md is this file as a table, with the reasons.
 */
import type { AdminPolicyObject, SecurityCategory } from '../../model/policy-objects.js';
import { BASELINE_TIER } from '../../model/tiers.js';
import { SECTIONS, type PolicyOrder, type Section } from './ir.js';

/** Section and rank of a policy, without what orders the policies of one rank. */
export type Place = Pick<PolicyOrder, 'section' | 'rank'>;

/** Antrea's tiers are whole numbers, so 99.3 is after all tiers below 100 and before `securityops`. Ethernet has no place: it is layer 2. */
const CATEGORY_RANKS: ReadonlyMap<SecurityCategory, number> = new Map([
  ['Emergency', -1], ['Infrastructure', 99.3], ['Environment', 99.6], ['Application', 249.9],
]);

export const KUBERNETES: Place = { section: 'kubernetes', rank: 0 };

export function tierPlace(name: string, priority: number): Place {
  return { section: name === BASELINE_TIER ? 'baseline' : 'admin', rank: priority };
}

/** Undefined for Ethernet. */
export function categoryPlace(category: SecurityCategory): Place | undefined {
  const rank = CATEGORY_RANKS.get(category);
  return rank === undefined ? undefined : { section: 'admin', rank };
}

export function adminPlace({ kind, tier }: Pick<AdminPolicyObject, 'kind' | 'tier'>): Place {
  if (kind === 'AdminNetworkPolicy') return { section: 'admin', rank: 251 };
  if (kind === 'BaselineAdminNetworkPolicy' || tier === 'Baseline') return { section: 'baseline', rank: 254 };
  return { section: 'admin', rank: 220 };
}

/** Negative when `a` is evaluated before `b`. Zero only for equal names: the order is total, and the same on every host. */
export function compareOrder(a: PolicyOrder, b: PolicyOrder): number {
  return sectionIndex(a.section) - sectionIndex(b.section) || a.rank - b.rank || a.priority - b.priority || compareNames(a.name, b.name);
}

function sectionIndex(section: Section): number {
  return SECTIONS.indexOf(section);
}

/** By UTF-16 code units: no locale, so no host differs. */
function compareNames(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
