/**
 * Rule tables: ordered rules, first match decides. Immutable values; equal content means equal tables.
 * Names and text forms follow NSX (`vsipioctl getrules`); see docs/rules-format.md.
 */
export type Direction = 'in' | 'out' | 'inout'; // in = to the workload
export type Action = 'accept' | 'drop' | 'reject';
/** What a rule says: a verdict, or to go on with the next section of the order of evaluation (docs/order.md). */
export type RuleAction = Action | 'pass';
/** IP protocol number (IANA), or 'any'. */
export type Protocol = number | 'any';

/** Inclusive, 0..65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * One side of a rule. No sets and no addresses = any (then `not` must be false). Several sets/addresses are OR-ed;
 * `not` negates the whole. `addresses` are inline literals in canonical text (host, prefix a/b, range a-b; both families;
 * MAC addresses in L2 rules).
 */
export interface AddressMatch {
  readonly not: boolean;
  readonly addressSets: readonly string[];
  readonly addresses: readonly string[];
}

export interface IcmpMatch {
  readonly type: number;
  readonly code?: number;
}

export interface Rule {
  /** The manager's rule id, as users see it. 1..2^31-1. Adjacent lines may share one id when they differ only in what they match. */
  readonly id: number;
  readonly direction: Direction;
  /** Restricts the rule to one family; absent = both (as far as its addresses allow). */
  readonly family?: 4 | 6;
  readonly protocol: Protocol;
  readonly source: AddressMatch;
  /** Empty = any. Only with a protocol that has ports. */
  readonly sourcePorts: readonly PortRange[];
  readonly destination: AddressMatch;
  /** Destination ports; empty = any; sorted, disjoint. */
  readonly ports: readonly PortRange[];
  readonly icmp?: IcmpMatch;
  readonly action: RuleAction;
  readonly log: boolean;
  readonly tag?: string;
  /** Judged packet by packet: replies need a rule of their own. */
  readonly stateless: boolean;
  /** Where the rule came from; absent for a RuleTable's own rules. */
  readonly policy?: PolicyReference;
}

export interface PolicyReference {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly rule?: string;
  /** API group of the kind: two groups have a NetworkPolicy, and two a ClusterNetworkPolicy. */
  readonly group?: string;
}

/** Layer 2 rules are stateless and come before all others. */
export interface Layer2Rule {
  readonly id: number;
  readonly direction: Direction;
  /** EtherType number, or 'any'. */
  readonly ethertype: number | 'any';
  readonly source: AddressMatch; // MAC addresses and mac sets
  readonly destination: AddressMatch;
  readonly action: 'accept' | 'drop';
  readonly log: boolean;
  readonly tag?: string;
}

/** Members in canonical text, in the order given: IPv4/IPv6 hosts, prefixes `a/n`, ranges `a-b`, or MAC addresses. May be empty. */
export interface AddressSet {
  readonly name: string;
  readonly addresses: readonly string[];
}

export const LIMITS = {
  rulesPerTable: 4_000,
  rulesPerHost: 120_000,
  /** Of a policy as written, both directions together. */
  rulesPerPolicy: 4_000,
  addressesPerSet: 1_000_000,
  nameLength: 253,
} as const;
