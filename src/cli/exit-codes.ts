/** Exit codes of agentctl; the contract of docs/agentctl.md. */
import type { ErrorCode } from '../model/errors.js';

export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, notFound: 4 } as const;

export function exitCodeOf(code: ErrorCode): number {
  if (code === 'E_USAGE') return EXIT.usage;
  if (code === 'E_NOT_FOUND') return EXIT.notFound;
  // For a script the same: this user cannot talk to the agent.
  if (code === 'E_UNREACHABLE' || code === 'E_DENIED') return EXIT.unreachable;
  return EXIT.failed;
}
