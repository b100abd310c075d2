/** What the two sides of `program` are asked to load. */
import type { PolicyOptions } from '../model/policy.js';

export interface ProgramRequest {
  readonly policy: PolicyOptions;
  readonly interfaceName: string;
}

export function programRequest(text: string | undefined): ProgramRequest {
  return JSON.parse(text ?? '{}');
}
