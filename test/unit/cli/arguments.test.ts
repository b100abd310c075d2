import { describe, expect, test } from 'vitest';
import { dynamicWord } from '../../../src/cli/completion.js';
import { exitCodeOf } from '../../../src/cli/exit-codes.js';
import { kindCandidates, resolveKind } from '../../../src/cli/kinds.js';
import { duration, integer, pointInTime } from '../../../src/cli/options.js';
import { parseCommandLine, staticCandidates } from '../../../src/cli/parser.js';
import { workloadOf } from '../../../src/cli/verbs/attach.js';
import { ERROR_CODES, isAgentError } from '../../../src/model/errors.js';

const usage = expect.toSatisfy((error: unknown) => isAgentError(error, 'E_USAGE'));

describe('kinds', () => {
  test.each([['pod', 'Pod'], ['PODS', 'Pod'], ['po', 'Pod'], ['vm', 'VirtualMachine'], ['VirtualMachines', 'VirtualMachine'], ['ns', 'Namespace'], ['tc', 'TrafficControl'],
    ['rt', 'RuleTable'], ['networkPolicies', 'NetworkPolicy'], ['netpol', 'NetworkPolicy'], ['annp', 'AntreaNetworkPolicy'], ['acnp', 'AntreaClusterNetworkPolicy'], ['cnp', 'ClusterNetworkPolicy.policy.networking.k8s.io'],
    ['clusternetworkpolicy', 'ClusterNetworkPolicy'], ['networkpolicies.networking.k8s.io', 'NetworkPolicy.networking.k8s.io'], ['netpol.crd.antrea.io', 'AntreaNetworkPolicy']])('%s is %s', (name, kind) => {
    expect(resolveKind(name).kind).toBe(kind);
  });
  test('completion offers names that mean something', () => {
    for (const name of kindCandidates()) expect(resolveKind(name).kinds.length).toBeGreaterThan(0);
  });
  test('an unknown one is a usage error that names the nearest, or all', () => {
    expect(() => resolveKind('ruletabel')).toThrowError(usage);
    expect(() => resolveKind('ruletabel')).toThrowError(/did you mean ruletable\?/u);
    expect(() => resolveKind('xyzzyxyzzy')).toThrowError(/kinds are Namespace, Pod/u);
  });
});

describe('durations and times', () => {
  test.each([['10s', 10_000], ['10', 10_000], ['500ms', 500], ['1m30s', 90_000], ['1h', 3_600_000], ['0.5s', 500], ['0', 0], ['2d', 172_800_000]])('%s', (text, ms) => {
    expect(duration('timeout', text)).toBe(ms);
  });
  test.each(['', 's', '10x', '-5s', '5 s', '1m x', 'ten'])('%j is refused', (text) => {
    expect(() => duration('timeout', text)).toThrowError(usage);
  });
  test('a point in time is a date or a duration before now', () => {
    expect(pointInTime('since', '10m', 1_000_000)).toBe(400_000);
    expect(pointInTime('since', '2026-01-02T03:04:05Z', 0)).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
    expect(() => pointInTime('since', '2026-99-99', 0)).toThrowError(usage);
  });
});

test('integers keep to their range', () => {
  const port = integer('dport', 0, 65_535);
  expect([port('0'), port('65535'), port(undefined)]).toEqual([0, 65_535, undefined]);
  for (const text of ['65536', '-1', '1.5', '', 'x', '1e3', '0x10']) expect(() => port(text)).toThrowError(usage);
});

test('workloads', () => {
  expect(workloadOf('default/web')).toEqual({ kind: 'Pod', namespace: 'default', name: 'web' });
  expect(workloadOf('pods/default/web')).toEqual({ kind: 'Pod', namespace: 'default', name: 'web' });
  expect(workloadOf('vm/db')).toEqual({ kind: 'VirtualMachine', name: 'db' });
  expect(workloadOf('Node/host-1')).toEqual({ kind: 'Node', name: 'host-1' });
  for (const text of ['', 'web', '/web', 'a/', 'vm/a/b', 'pod/a/b/c', 'xx/a/b']) expect(() => workloadOf(text)).toThrowError(usage);
});

describe('the command line', () => {
  const parse = (...argv: string[]): ReturnType<typeof parseCommandLine> => parseCommandLine(argv, {}, 100);
  test('options may stand before and after the verb', async () => {
    const parsed = await parse('-o', 'json', 'getrules', '-f', 'x', '--socket', '/s', '--no-color');
    expect(parsed).toMatchObject({ kind: 'run', globals: { output: 'json', socket: '/s', color: false } });
  });
  test('the socket comes from the option, the environment, the default, in this order', async () => {
    const socket = async (argv: string[], environment: Record<string, string>): Promise<unknown> => {
      const parsed = await parseCommandLine([...argv, 'status'], environment, 100);
      return parsed.kind === 'run' ? parsed.globals.socket : undefined;
    };
    expect(await socket(['--socket', '/a'], { DFW_SOCKET: '/b' })).toBe('/a');
    expect(await socket([], { DFW_SOCKET: '/b' })).toBe('/b');
    expect(await socket([], {})).toBe('/run/dfw-agent/agent.sock');
  });
  test.each([
    [[], /a verb is missing/u], [['frobnicate'], /Unknown argument: frobnicate; see agentctl --help|Unknown command/u], [['getruels'], /did you mean getrules\?/u],
    [['getrules', '-f'], /Not enough arguments following: f; see agentctl getrules --help/u], [['getrules', '-f', 'x', 'extra'], /Unknown argument: extra/u],
    [['trace', '--from', 'a'], /Missing required argument: to/u], [['ids', 'restart'], /Choices: "reload"/u], [['loglevel', 'loud'], /"error", "warn", "info", "debug"/u],
  ])('%j is a usage error of one line', async (argv, message) => {
    const failure: unknown = await parse(...argv).catch((error: unknown) => error);
    expect(failure).toEqual(usage);
    expect(String(failure)).toMatch(message);
    expect(String(failure)).not.toContain('\n');
  });
  test('help is an answer', async () => {
    expect(await parse('--help')).toMatchObject({ kind: 'print', text: expect.stringContaining('summarize-dvfilter') });
    expect(await parse('getflows', '-h')).toMatchObject({ kind: 'print', text: expect.stringContaining('Examples:') });
  });
});

describe('completion', () => {
  test('words that the agent or a list answers', () => {
    expect(dynamicWord(['getrules', '-f', ''])).toBe('filter');
    expect(dynamicWord(['apply', '-f', ''])).toBe('none');
    expect(dynamicWord(['detach', 'ni'])).toBe('filter');
    expect(dynamicWord(['get', ''])).toBe('kind');
    expect(dynamicWord(['delete', 'pod', 'w'])).toBe('name');
    expect(dynamicWord(['status', '-o', ''])).toBe('format');
    expect(dynamicWord(['query', 'endpoint', ''])).toBe('pod');
    expect(dynamicWord(['query', 'endpoint', '-p', ''])).toBe('pod');
    expect(dynamicWord(['query', ''])).toBe('none');
    expect(dynamicWord(['get', 'netpol', '-n', ''])).toBe('namespace');
  });
  test('words that the parser knows', async () => {
    expect(await staticCandidates(['getf'])).toContain('getflows');
    expect(await staticCandidates(['getflows', '--'])).toEqual(expect.arrayContaining(['--filter', '--watch', '--socket']));
    expect(await staticCandidates(['ids', ''])).toEqual(['reload']);
    expect(await staticCandidates(['query', ''])).toEqual(['endpoint']);
    expect(await staticCandidates(['diff', '--'])).toEqual(expect.arrayContaining(['--file', '--delete']));
    expect(await staticCandidates(['loglevel', ''])).toEqual(['error', 'warn', 'info', 'debug']);
    expect(await staticCandidates(['--'])).toEqual(expect.arrayContaining(['--socket', '--help']));
    expect(await staticCandidates(['nonsense', ''])).toEqual([]);
  });
});

test('exit codes', () => {
  const codes = Object.fromEntries(ERROR_CODES.map((code) => [code, exitCodeOf(code)]));
  expect(codes).toMatchObject({ E_USAGE: 2, E_UNREACHABLE: 3, E_DENIED: 3, E_NOT_FOUND: 4, E_INVALID: 1, E_INTERNAL: 1, E_KERNEL: 1 });
  expect(new Set(Object.values(codes))).toEqual(new Set([1, 2, 3, 4]));
});
