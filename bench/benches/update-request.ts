/** What one process of `update` measures. */
import type { PolicyOptions } from '../model/policy.js';

export interface UpdateRequest {
  readonly change: 'address' | 'address-delta' | 'rule';
  /** The rules around the changing set, or those among which a rule is inserted. */
  readonly policy: PolicyOptions;
  /** Of the changing set. */
  readonly members: number;
  /** Of the three rules that use the changing set as their source. */
  readonly direction: 'in' | 'inout';
  readonly changes: number;
}

export function updateRequest(text: string | undefined): UpdateRequest {
  return JSON.parse(text ?? '{}');
}
