/** One rule of one policy as it stands at one filter in one direction. */
import type { OraclePacket } from './packet.js';

export const SECTIONS = ['admin', 'kubernetes', 'baseline'] as const;
export type Section = (typeof SECTIONS)[number];

export interface PolicyName {
  /** As users write it (ClusterNetworkPolicy of two API groups), with the group. */
  readonly kind: string;
  readonly group: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface Order {
  readonly section: Section;
  readonly rank: number;
  readonly priority: number;
  /** `prefix:namespace/name`: the last word, in code unit order. */
  readonly name: string;
}

export interface FilterRule {
  readonly order: Order;
  readonly policy: PolicyName;
  /** The name users gave; else its place, as `ingress[0]`. */
  readonly rule: string;
  readonly action: 'accept' | 'drop' | 'reject' | 'pass';
  matches(packet: OraclePacket): boolean;
}

export function compareOrder(a: Order, b: Order): number {
  const bySection = SECTIONS.indexOf(a.section) - SECTIONS.indexOf(b.section);
  if (bySection !== 0) return bySection;
  if (a.rank !== b.rank) return a.rank - b.rank;
  if (a.priority !== b.priority) return a.priority - b.priority;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
