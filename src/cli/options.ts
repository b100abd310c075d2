/** Options that several verbs share, with their checks. A failed check is a usage error (exit 2). */
import { AgentError } from '../model/errors.js';

export const filterOption = {
  alias: 'f', type: 'string', requiresArg: true,
  describe: 'filter name, interface, namespace/pod[/vnic] or VM name',
} as const;
export const requiredFilter = { ...filterOption, demandOption: true } as const;
export const namespaceOption = { alias: 'n', type: 'string', requiresArg: true, describe: 'namespace' } as const;
export const filesOption = {
  alias: 'f', type: 'string', array: true, requiresArg: true,
  describe: 'YAML, JSON or .rules file, a directory of them, or - for stdin; may be repeated',
} as const;

/** Options and arguments that take several values (`array`); every other one is refused when it is given twice. */
export const REPEATABLE: ReadonlySet<string> = new Set(['file', 'address', 'expression']);

/** For yargs `coerce`: an integer in [minimum, maximum], or absent. */
export function integer(option: string, minimum: number, maximum: number): (value: unknown) => number | undefined {
  return (value) => {
    if (value === undefined) return undefined;
    const text = typeof value === 'string' ? value : '';
    const number = /^\d+$/u.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(number) && number >= minimum && number <= maximum) return number;
    throw new AgentError('E_USAGE', `--${option} takes an integer from ${minimum} to ${maximum}, not ${JSON.stringify(text)}`);
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "10s", "1m30s", "500ms", "10" (seconds) → milliseconds; E_USAGE for anything else. */
export function duration(option: string, value: string): number {
  const bare = /^\d+(?:\.\d+)?$/u.test(value) ? `${value}s` : value;
  const parts = [...bare.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gu)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== bare) {
    throw new AgentError('E_USAGE', `--${option} takes a duration such as 10s, 5m or 1h30m, not ${JSON.stringify(value)}`);
  }
  return Math.round(parts.reduce((sum, part) => sum + Number(part[1]) * (UNIT_MS[part[2] ?? ''] ?? 0), 0));
}

/** A duration before now, or a date (RFC 3339) → Unix milliseconds; E_USAGE for anything else. */
export function pointInTime(option: string, value: string, now: number): number {
  if (/^\d{4}-/u.test(value)) {
    const time = Date.parse(value);
    if (!Number.isNaN(time)) return time;
    throw new AgentError('E_USAGE', `--${option} takes a time such as 2026-01-31T12:00:00Z or a duration such as 10m, not ${JSON.stringify(value)}`);
  }
  return now - duration(option, value);
}
