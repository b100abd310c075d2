/** What the packet benchmark sends through which rules. */
import type { PolicyOptions } from '../model/policy.js';

export interface Variant {
  readonly name: string;
  readonly rules: 'none' | 'conntrack' | 'linear' | 'ours';
  readonly traffic: 'new' | 'established';
  /** The rules, and (whatever rules there are) where the packets come from. */
  readonly policy: PolicyOptions;
  /** Of ours: how many vNICs have a table of their own. */
  readonly vnics: number;
  /** Of linear rules: every set may hold prefixes, not only those that do. */
  readonly intervalSets?: boolean;
}

export interface ClassifyRequest {
  readonly variants: readonly Variant[];
  readonly rounds: number;
  /** Packets of one variant in one round. */
  readonly burst: number;
  /** The processor that sends, and so forwards. */
  readonly processor: number;
  readonly directory: string;
}
