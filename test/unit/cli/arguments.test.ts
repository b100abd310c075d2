import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RemoteAgentApi } from '../../../src/api/client.js';
import { dynamicWord } from '../../../src/cli/completion.js';
import { exitCodeOf } from '../../../src/cli/exit-codes.js';
import { kindCandidates, resolveKind } from '../../../src/cli/kinds.js';
import { duration, integer, pointInTime, REPEATABLE } from '../../../src/cli/options.js';
import { Output } from '../../../src/cli/output.js';
import { parseCommandLine, staticCandidates } from '../../../src/cli/parser.js';
import { palette } from '../../../src/cli/render/palette.js';
import { workloadOf } from '../../../src/cli/verbs/attach.js';
import { VERBS } from '../../../src/cli/verbs/index.js';
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
    [['trace', '--from', 'a'], /Missing required argument: to/u], [['ids', 'restart'], /Choices: "status", "signatures", "reload", "update", "rollback"/u], [['loglevel', 'loud'], /"error", "warn", "info", "debug"/u],
  ])('%j is a usage error of one line', async (argv, message) => {
    const failure: unknown = await parse(...argv).catch((error: unknown) => error);
    expect(failure).toEqual(usage);
    expect(String(failure)).toMatch(message);
    expect(String(failure)).not.toContain('\n');
  });
  test.each([
    [['getrules', '-f', 'a', '-f', 'b'], /--filter is given 2 times \(a, b\) and takes one value/u],
    [['getrules', '--filter', 'a', '-f', 'b', '-f', 'c'], /--filter is given 3 times \(a, b, c\)/u], [['status', '-o', 'json', '-o', 'yaml'], /--output is given 2 times \(json, yaml\)/u],
    [['--socket', '/a', 'status', '--socket=/b'], /--socket is given 2 times/u], [['delete', 'pod', 'web', '-n', 'a', '-n', 'b'], /--namespace is given 2 times/u],
    [['trace', '--from', 'a', '--to', 'b', '--dport', '1', '--dport', '2'], /--dport is given 2 times \(1, 2\)/u],
    [['attach', 'vm/a', '-i', 'tap1', '-i', 'tap2'], /--interface is given 2 times/u],
  ])('%j: an option that takes one value is refused when it is given more often', async (argv, message) => {
    const failure: unknown = await parse(...argv).catch((error: unknown) => error);
    expect(failure).toEqual(usage);
    expect(String(failure)).toMatch(message);
  });
  test('a flag may be repeated: the last one counts', async () => {
    expect(await parse('status', '--no-color', '--color', '--no-color')).toMatchObject({ kind: 'run', globals: { color: false } });
  });
  test('exactly the options that help shows as lists may be repeated', async () => {
    const lists = new Set<string>();
    for (const { name } of VERBS) {
      const help = await parseCommandLine([name, '--help'], {}, 1_000);
      // Of "-f, --file", "--address" and the positional "expression" the long name; examples stand before and have no such end.
      for (const [, list = ''] of (help.kind === 'print' ? help.text : '').matchAll(/^\s+(?:-\w, )?(?:--)?([\w-]+) .*\[array\]/gmu)) lists.add(list);
    }
    expect([...lists].sort()).toEqual([...REPEATABLE].sort());
  });
  test('help is an answer', async () => {
    expect(await parse('--help')).toMatchObject({ kind: 'print', text: expect.stringContaining('summarize-dvfilter') });
    expect(await parse('getflows', '-h')).toMatchObject({ kind: 'print', text: expect.stringContaining('Examples:') });
  });
});

describe('options that take several values', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dfw-arguments-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs a verb against an agent that records what it is asked. */
  async function asked(...argv: string[]): Promise<unknown[]> {
    const parsed = await parseCommandLine(argv, {}, 100);
    if (parsed.kind !== 'run') throw new Error('not a verb');
    const calls: unknown[] = [];
    const record = (answer: unknown) => async (argument: unknown): Promise<unknown> => {
      calls.push(argument);
      return answer;
    };
    const difference = { changes: [], errors: [], filters: { added: [], removed: [] }, reordered: [], rules: {}, addressSets: {}, flowsCut: [], flowsComplete: true };
    const agent = { apply: record([]), deleteObjects: record([]), diff: record(difference), attach: record({ object: 'Attachment/a', operation: 'created' }) };
    const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
    await parsed.invocation({
      agent: async () => agent as unknown as RemoteAgentApi, manager: async () => undefined, out: new Output(sink, sink), format: 'json', palette: palette(false), signal: new AbortController().signal,
      stdin: Readable.from([Buffer.from('{"kind":"Pod","metadata":{"name":"stdin"}}')]), now: () => 0, account: 'alice', clientVersion: '0',
    });
    return calls;
  }
  function file(name: string): string {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(pod(name)));
    return path;
  }
  const pod = (name: string): unknown => ({ kind: 'Pod', metadata: { name } });

  test('apply and diff read every file, in order, as one change', async () => {
    const documents = ['b', 'a', 'stdin'].map((name) => ({ document: pod(name) }));
    expect(await asked('apply', '-f', file('b'), '--file', file('a'), '-f', '-')).toEqual([documents]);
    expect(await asked('apply', '-f', file('b'), '-f', file('a'), '-f', '-', '--dry-run')).toEqual([{ documents, delete: false, own: true }]);
    expect(await asked('diff', '-f', file('b'), `--file=${file('a')}`, '-f-', '--delete')).toEqual([{ documents, delete: true, own: false }]);
  });
  test('delete names the objects of every file', async () => {
    expect(await asked('delete', '-f', file('b'), '-f', file('a'))).toEqual([[expect.objectContaining({ kind: 'Pod', name: 'b' }), expect.objectContaining({ kind: 'Pod', name: 'a' })]]);
    expect(await asked('delete', '-f', file('b'))).toEqual([[expect.objectContaining({ name: 'b' })]]);
  });
  test('a value after the file is no second file', async () => {
    await expect(asked('delete', '-f', file('a'), file('b'))).rejects.toSatisfy((error: unknown) => isAgentError(error, 'E_USAGE'));
  });
  test('attach has all addresses', async () => {
    const addresses = async (...argv: string[]): Promise<unknown> => (await asked('attach', 'vm/a', '-i', 'tap1', ...argv))[0];
    expect(await addresses('--address', '10.0.0.1', '--address', 'fd00::1')).toMatchObject({ interface: 'tap1', addresses: ['10.0.0.1', 'fd00::1'] });
    expect(await addresses('--address', '10.0.0.1')).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(await addresses()).toMatchObject({ addresses: [] });
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
    expect(dynamicWord(['ids', 'signatures', '--category', ''])).toBe('category');
    expect(dynamicWord(['ids', 'signatures', '--severity', ''])).toBe('severity');
    expect(dynamicWord(['get', 'netpol', '-n', ''])).toBe('namespace');
  });
  test('words that the parser knows', async () => {
    expect(await staticCandidates(['getf'])).toContain('getflows');
    expect(await staticCandidates(['getflows', '--'])).toEqual(expect.arrayContaining(['--filter', '--watch', '--socket']));
    expect(await staticCandidates(['ids', ''])).toEqual(['status', 'signatures', 'reload', 'update', 'rollback', 'quarantine']);
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
