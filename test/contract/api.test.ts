/** The API server and agentctl over a real Unix socket: agentctl runs as its own process, from dist/. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AgentClient } from '../../src/api/client.js';
import { peerAccess } from '../../src/api/peer-access.js';
import { ApiServer } from '../../src/api/server.js';
import { AgentError, isAgentError } from '../../src/model/errors.js';
import { parseRulesText } from '../../src/model/rules-text.js';
import { loadNative } from '../../src/native/load.js';
import { command, eventually } from '../support/command.js';
import type { CommandOptions, CommandResult } from '../support/command.js';
import { AgentModel, alertView, FILTER, filterView, FLOW_LINE, flowView, PACKETS, rulesView } from './api-support/agent-model.js';
import { CollectingLogger } from './api-support/collecting-logger.js';

const AGENTCTL = fileURLToPath(new URL('../../bin/agentctl', import.meta.url));
const NEVER = new AbortController().signal;

let folder: string;
let socketPath: string;
let model: AgentModel;
let log: CollectingLogger;
let server: ApiServer;

const makeServer = (group?: string): ApiServer => new ApiServer({
  api: model, socketPath, log, peerCredentials: (fd) => loadNative().peerCredentials(fd), allow: peerAccess(group), ...(group === undefined ? {} : { group }),
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dfw-api-'));
  chmodSync(folder, 0o755);
  socketPath = join(folder, 'run', 'agent.sock');
  model = new AgentModel();
  log = new CollectingLogger();
  server = makeServer();
  await server.start();
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (): Record<string, string> => ({ DFW_SOCKET: socketPath });
const agentctl = (args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> =>
  command(AGENTCTL, args, { ...options, env: { ...environment(), ...options.env } });
const start = (args: readonly string[]): ChildProcess => spawn(AGENTCTL, [...args], { env: { ...process.env, ...environment() }, stdio: ['ignore', 'pipe', 'pipe'] });

describe('the socket', () => {
  test('belongs to root alone without a group; its directory is 0755', () => {
    const { mode, uid } = statSync(socketPath);
    expect(mode & 0o777).toBe(0o600);
    expect(uid).toBe(0);
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o755);
  });

  test('belongs to the group with 0660 when there is one, and to root alone, with a warning, when there is none of that name', async () => {
    await server.stop();
    server = makeServer('daemon');
    await server.start();
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    expect(statSync(socketPath).gid).toBe(1);
    await server.stop();
    server = makeServer('no-such-group');
    await server.start();
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(log.events('warn')).toContain('api.group.absent');
  });

  test('has these modes whatever the umask is', async () => {
    await server.stop();
    rmSync(join(folder, 'run'), { recursive: true });
    const umask = process.umask(0o077);
    try {
      server = makeServer('daemon');
      await server.start();
    } finally {
      process.umask(umask);
    }
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o755);
  });

  test('is refused to a second agent while the first answers', async () => {
    await expect(makeServer().start()).rejects.toSatisfy((error) => isAgentError(error, 'E_CONFLICT'));
    expect((await agentctl(['health'])).code).toBe(0);
  });

  test('is taken over from an agent that died', async () => {
    await server.stop();
    const script = `require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await command(process.execPath, ['-e', script]);
    expect(statSync(socketPath).isSocket()).toBe(true);
    server = makeServer();
    await server.start();
    expect((await agentctl(['health'])).code).toBe(0);
  });

  test('never replaces a file that is no socket', async () => {
    await server.stop();
    writeFileSync(socketPath, 'precious');
    await expect(makeServer().start()).rejects.toSatisfy((error) => isAgentError(error, 'E_CONFLICT'));
    expect(readFileSync(socketPath, 'utf8')).toBe('precious');
  });

  test('goes away with stop(), which may be called twice; a restart works', async () => {
    await server.stop();
    await server.stop();
    expect(existsSync(socketPath)).toBe(false);
    await server.start();
    expect((await agentctl(['health'])).code).toBe(0);
  });
});

describe('peers', () => {
  const asNobody = (args: readonly string[]): Promise<CommandResult> =>
    command('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', AGENTCTL, ...args], { env: environment() });

  test('who may not open the socket is told so: exit 3', async () => {
    const result = await asNobody(['status']);
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/may not open the socket; run as root/u);
  });

  test('who gets past a loosened file mode is refused by credentials, before a byte is read', async () => {
    chmodSync(socketPath, 0o666);
    const result = await asNobody(['status']);
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/refused this user/u);
    expect(log.lines.find((line) => line.event === 'api.peer.refused')?.keys).toMatchObject({ uid: 65534, gid: 65534 });
    expect((await agentctl(['status'])).code).toBe(0);
  });

  test('a member of the group is served', async () => {
    await server.stop();
    server = makeServer('daemon');
    await server.start();
    const result = await command('setpriv', ['--reuid=65534', '--regid=65534', '--groups=1', AGENTCTL, 'health'], { env: environment() });
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
  });

  test('whoever cannot be identified is refused', async () => {
    await server.stop();
    server = new ApiServer({ api: model, socketPath, log, allow: () => true, peerCredentials: () => { throw new Error('ENOTCONN'); } });
    await server.start();
    expect((await agentctl(['status'])).code).toBe(3);
  });
});

describe('the client', () => {
  const connected = async (use: (client: AgentClient) => Promise<void>): Promise<void> => {
    const client = await AgentClient.connect(socketPath);
    try {
      await use(client);
    } finally {
      client.close();
    }
  };

  test('gives what the agent gave', () => connected(async (client) => {
    expect(await client.getFilters()).toEqual([filterView]);
    expect(await client.getRules(FILTER, false)).toEqual(rulesView);
    expect(await client.getAddressSets(FILTER)).toEqual(await model.getAddressSets(FILTER));
    expect(await client.getFilterStat(FILTER)).toEqual(await model.getFilterStat(FILTER));
    expect(await client.getConnCount()).toEqual({ connections: 42 });
    expect(await client.get('Pod')).toEqual(await model.get('Pod'));
    expect(await client.getFqdnCache('a.example')).toEqual(await model.getFqdnCache('a.example'));
    expect(await client.getEgress()).toEqual(await model.getEgress());
    expect(await client.getTrafficControl()).toEqual(await model.getTrafficControl());
    expect(await client.getAlerts({})).toEqual({ alerts: [alertView] });
    expect(await client.status()).toEqual(await model.status());
    expect(await client.health()).toEqual(await model.health());
    expect(await client.version()).toEqual(model.version());
    expect(await client.setLogLevel('debug')).toBe('debug');
    expect(await client.reloadIds()).toEqual(await model.reloadIds());
    expect(await client.idsStatus()).toEqual(await model.idsStatus());
    expect(await client.getSignatures({ enabled: false })).toEqual(await model.getSignatures({}));
    expect(await client.updateSignatures()).toEqual(await model.updateSignatures());
    expect(await client.rollbackSignatures()).toEqual(await model.rollbackSignatures());
    expect(await client.sync(1_500)).toEqual({ realized: true, generation: 8, durationMs: 1.5, errors: [] });
  }));

  test('hands over manifests as they were written', () => connected(async (client) => {
    const documents = [{ document: { kind: 'Pod', spec: { n: null, list: [1, 'x', {}] } } }, { rulesText: 'ruleset x {\n}\n', name: 'x.rules' }];
    await client.apply(documents, { dryRun: false });
    expect(model.applied).toEqual(documents);
  }));

  test('throws the error of the agent, whole', () => connected(async (client) => {
    const caught = await client.getRules('nic-1', false).catch((error: unknown) => error);
    expect(caught).toBeInstanceOf(AgentError);
    expect(caught).toMatchObject({ code: 'E_NOT_FOUND', message: 'no such filter', object: 'nic-1', path: undefined, retryable: false, context: { nearest: [FILTER] } });
    const invalid = await client.apply([{ document: { name: 'bad' } }], { dryRun: true }).catch((error: unknown) => error);
    expect(invalid).toMatchObject({ code: 'E_INVALID', object: 'RuleTable/bad', path: 'spec.rules[0].ports[0]' });
    const missing = await client.getFlows({ filter: 'nic-1', format: 'text' }, NEVER).catch((error: unknown) => error);
    expect(missing).toMatchObject({ code: 'E_NOT_FOUND', context: { nearest: [FILTER] } });
  }));

  test('a watch ends at the agent when the caller aborts, and when the caller leaves the loop', () => connected(async (client) => {
    const controller = new AbortController();
    const seen: string[] = [];
    for await (const { event, flow } of client.watchFlows({ all: true, format: 'json' }, controller.signal)) {
      expect(flow).toEqual(flowView);
      seen.push(event);
      if (seen.length === 2) controller.abort();
    }
    expect(seen).toEqual(['new', 'end']);
    await eventually('the first cancellation', async () => (model.cancelled === 1 ? true : undefined));
    for await (const alert of client.followAlerts({}, NEVER)) {
      expect(alert).toEqual(alertView);
      break;
    }
    await eventually('the second cancellation', async () => (model.cancelled === 2 ? true : undefined));
  }));

  test('a stream that runs when the agent stops ends with E_UNREACHABLE', () => connected(async (client) => {
    const watch = async (): Promise<void> => {
      for await (const { event } of client.watchFlows({ all: true, format: 'json' }, NEVER)) if (event === 'end') void server.stop();
    };
    await expect(watch()).rejects.toSatisfy((error) => isAgentError(error, 'E_UNREACHABLE'));
  }));
});

describe('agentctl', () => {
  test('getrules prints the screen of NSX, and its statistics', async () => {
    expect((await agentctl(['getrules', '-f', FILTER])).stdout).toBe(`ruleset domain-c25 {
  # Filter rules
  rule 1006 at 1 inout protocol tcp from addrset ip-vm-33 to addrset ip-vm-36 port 22 accept with log;
  rule 1005 at 2 inout protocol any from any to addrset ip-ipset-2 accept;
  rule 1004 at 3 inout protocol ipv6-icmp icmptype 135 from any to any accept;
  rule 1003 at 5 inout protocol udp from any to any port 67 accept;
  rule 1002 at 7 inout protocol any from any to any reject with log;
}

ruleset domain-c25_L2 {
  # Filter rules
  rule 1001 at 1 inout ethertype any from any to any accept;
}
`);
    expect((await agentctl(['getrules', '-f', FILTER, '-s'])).stdout.split('\n')[0])
      .toBe('rule  1006: 317802 evals, in 2959418 out 3212647 pkts, in 648188117 out 719943929 bytes');
    expect(JSON.parse((await agentctl(['getrules', '-f', FILTER, '-o', 'json'])).stdout)).toEqual(rulesView);
  });

  test('getflows prints header and lines as they come; JSON is one document', async () => {
    expect((await agentctl(['getflows', '-f', FILTER])).stdout)
      .toBe(`Count retrieved from kernel active(L3,L4)=3, active(L2)+inactive(L3,L4)=0, drop(L2,L3,L4)=0\n${FLOW_LINE}`);
    const json: unknown = JSON.parse((await agentctl(['getflows', '-f', FILTER, '-o', 'json'])).stdout);
    expect(json).toEqual({ filter: FILTER, counts: { active: 3, inactive: 0, drop: 0 }, flows: [flowView, { ...flowView, id: '558a796d00000001' }] });
    const yaml = (await agentctl(['getflows', '-f', FILTER, '-o', 'yaml'])).stdout;
    expect(yaml).toContain(`filter: ${FILTER}\ncounts:\n  active: 3\n`);
    expect(yaml).toContain('flows:\n  - id: 558a796d00000000\n    state: Active\n');
  });

  test.each([
    [['health'], 0, ''],
    [['getrules'], 2, /Missing required argument: filter/u],
    [['getruls'], 2, /did you mean getrules\?/u],
    [['getflows'], 2, /either -f FILTER or --all/u],
    [['cleanup'], 2, /confirm with --yes/u],
    [['getrules', '-f', 'x', '-o', 'xml'], 2, /Invalid values/u],
    [['apply', '-f', '/no/such/file'], 1, /\/no\/such\/file: no such file or directory/u],
    [['get', 'pdo'], 2, /did you mean pod\?/u],
    [['get', 'pod', 'wbe'], 4, /no such object; nearest: web\n$/u],
    [['getrules', '-f', 'nic-1'], 4, /^agentctl: nic-1: no such filter; nearest: nic-145244-eth0-dfw\.2\n$/u],
    [['status', '--socket', '/no/such.sock'], 3, /agent is not reachable: there is no such socket/u],
  ])('%j exits %i', async (args, code, message) => {
    const result = await agentctl(args);
    expect(result.code).toBe(code);
    if (typeof message === 'string') expect(result.stderr).toBe(message);
    else {
      expect(result.stderr).toMatch(message);
      expect(result.stderr.split('\n')).toHaveLength(2);
      expect(result.stdout).toBe('');
    }
  });

  test('a socket where nobody listens, and one that does not speak: exit 3', async () => {
    const silent: Server = createServer(() => undefined);
    const path = join(folder, 'silent.sock');
    await new Promise<void>((resolve) => silent.listen(path, () => resolve()));
    try {
      const result = await agentctl(['status', '--socket', path]);
      expect(result.code).toBe(3);
      expect(result.stderr).toMatch(/does not speak/u);
    } finally {
      await new Promise((resolve) => silent.close(resolve));
    }
    await server.stop();
    expect((await agentctl(['status'])).code).toBe(3);
  });

  test('sync and health exit 1 when the agent says so', async () => {
    model.syncErrors = [{ object: 'RuleTable/x', path: 'spec', message: 'refused' }];
    const result = await agentctl(['sync', '--timeout', '2s']);
    expect(result.code).toBe(1);
    expect(result.stderr).toBe('agentctl: RuleTable/x: spec: refused\n');
    model.healthy = false;
    expect((await agentctl(['health'])).code).toBe(1);
  });

  test('apply reads stdin, lists, several documents and rules files', async () => {
    const input = 'kind: List\nitems:\n- {kind: Pod, metadata: {name: a}}\n- {kind: Pod, metadata: {name: b}}\n---\nkind: Node\nmetadata: {name: c}\n';
    const result = await agentctl(['apply', '-f', '-', '-o', 'json'], { input });
    expect(result.code).toBe(0);
    expect(model.applied.map((one) => ('document' in one ? one.document : undefined))).toEqual([
      { kind: 'Pod', metadata: { name: 'a' } }, { kind: 'Pod', metadata: { name: 'b' } }, { kind: 'Node', metadata: { name: 'c' } },
    ]);
    model.applied.length = 0;
    const text = 'ruleset x {\n  # Filter rules\n  rule 5 at 1 inout protocol any from any to any accept;\n}\n';
    writeFileSync(join(folder, 'x.rules'), text);
    expect((await agentctl(['apply', '-f', join(folder, 'x.rules')])).stdout).toBe('RuleTable/t0 created\n');
    expect(model.applied).toEqual([{ rulesText: text, name: 'x.rules' }]);
    expect((await agentctl(['delete', '-f', join(folder, 'x.rules')])).stdout).toBe('RuleTable/x deleted\n');
    expect((await agentctl(['delete', '-f', '-'], { input: 'addrset lonely {\nip 10.0.0.1,\n}\n' })).stdout).toBe('AddressSet/lonely deleted\n');
    expect((await agentctl(['delete', 'PODS', 'web'])).code).toBe(0);
    const policies = 'apiVersion: crd.antrea.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: x}\n';
    expect((await agentctl(['delete', '-f', '-'], { input: policies })).code).toBe(0);
    expect((await agentctl(['delete', 'acnp', 'p'])).code).toBe(0);
    expect(model.deleted).toEqual([
      { kind: 'RuleTable', name: 'x' }, { kind: 'AddressSet', name: 'lonely' }, { kind: 'Pod', namespace: 'default', name: 'web' },
      { kind: 'AntreaNetworkPolicy', namespace: 'default', name: 'p' }, { kind: 'NetworkPolicy.networking.k8s.io', namespace: 'x', name: 'p' }, { kind: 'AntreaClusterNetworkPolicy', name: 'p' },
    ]);
  });

  test('what getconfig prints loads as a rules file with the same table', async () => {
    const { stdout } = await agentctl(['getconfig', '-f', 'web-sv-01a']);
    const parsed = parseRulesText(stdout);
    expect(parsed.problems).toEqual([]);
    expect(parsed.tables.map((table) => [table.name, table.rules.map((rule) => rule.id), table.layer2Rules.map((rule) => rule.id)]))
      .toEqual([['domain-c25', [1006, 1005, 1004, 1003, 1002], [1001]]]);
    expect(parsed.addressSets.map((one) => one.name)).toEqual(['ip-vm-33', 'ip-vm-36']);
  });

  test('the packets of an alert go to a file, or to stdout; a wrong id makes no file', async () => {
    const file = join(folder, 'a.pcapng');
    const written = await agentctl(['getalerts', '--pcap', 'a1', '-w', file]);
    expect([written.code, written.stdout, written.stderr]).toEqual([0, '', `${PACKETS.length} bytes written to ${file}\n`]);
    expect(new Uint8Array(readFileSync(file))).toEqual(PACKETS);
    expect((await agentctl(['getalerts', '--pcap', 'b2', '-w', join(folder, 'b.pcapng')])).code).toBe(4);
    expect(existsSync(join(folder, 'b.pcapng'))).toBe(false);
    expect((await agentctl(['getalerts', '--pcap', '../x'])).code).toBe(2);
    expect((await agentctl(['getalerts', '-w', file])).code).toBe(2);
  });

  test('the other verbs answer in all three forms', async () => {
    for (const verb of [
      ['getfilters'], ['summarize-dvfilter'], ['getaddrsets', '-f', 'tap7'], ['getconfig', '-f', 'tap7'], ['getfilterstat', '-f', 'tap7'], ['getconncount'],
      ['trace', '--from', 'a', '--to', 'b', '--dport', '22'], ['get', 'po'], ['get', 'po', 'web'], ['attach', 'vm/x', '-i', 'tap9'], ['detach', 'tap7'],
      ['ids', 'quarantine', 'list'], ['ids', 'quarantine', 'add', 'default/web', '--for', '10m', '--reason', 'test'], ['ids', 'quarantine', 'release', 'default/web'],
      ['gettrafficcontrol'], ['getfqdncache'], ['getfqdncache', '-d', '*.com'], ['getalerts', '--since', '2026-01-01T00:00:00Z'], ['ids', 'reload'], ['ids', 'status'], ['ids', 'signatures', '--enabled'], ['ids', 'rollback'],
      ['status'], ['health'], ['version'], ['loglevel', 'debug'],
      ['cleanup', '--yes'], ['sync'],
    ]) {
      const text = await agentctl(verb);
      expect([verb, text.code, text.stderr]).toEqual([verb, 0, '']);
      expect(text.stdout.length).toBeGreaterThan(0);
      const json = await agentctl([...verb, '-o', 'json']);
      expect([verb, json.code, typeof JSON.parse(json.stdout)]).toEqual([verb, 0, 'object']);
      expect((await agentctl([...verb, '-o', 'yaml'])).code).toBe(0);
    }
  }, 120_000);

  test('ids: what is wrong is named, with the exit status that a script needs', async () => {
    expect(await agentctl(['ids', 'update'])).toMatchObject({
      code: 1, stdout: "failed: version 10744 of the bundle: 1 signatures refused by the engine; what was in force stays (version 10743)\nrules/gpl.rules:7: sid 2100499: unknown rule keyword 'bogus'.\n",
    });
    expect((await agentctl(['ids', 'signatures', '--sid', '1'])).code).toBe(4);
    expect((await agentctl(['ids', 'signatures', '--sid', '2100498'])).stdout).toContain('2100498    1  alert     2  enabled  bad-unknown  rules/gpl.rules  GPL');
    expect(await agentctl(['ids', 'reload', '--sid', '1'])).toMatchObject({ code: 2, stderr: 'agentctl: ids reload takes no --sid; ids signatures does\n' });
    expect((await agentctl(['ids', 'signatures', '--enabled', '--disabled'])).code).toBe(2);
    expect((await agentctl(['__complete', '--', 'ids', 'signatures', '--category', ''])).stdout).toBe('bad-unknown\n');
  }, 60_000);

  test('a watch ends on SIGINT: exit 0, and the agent is told', async () => {
    const child = start(['getflows', '--all', '--watch', '-o', 'json']);
    let printed = '';
    child.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await eventually('two events', async () => (printed.split('\n').length === 3 ? true : undefined));
    child.kill('SIGINT');
    const [code]: unknown[] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(printed.trim().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([{ event: 'new', flow: flowView }, { event: 'end', flow: flowView }]);
    await eventually('the cancellation', async () => (model.cancelled === 1 ? true : undefined));
  });

  test('an order that is waited for, and a document that is typed, can be interrupted', async () => {
    let release = (): void => undefined;
    model.reloading = new Promise((resolve) => (release = resolve));
    for (const args of [['ids', 'reload'], ['apply', '-f', '-']]) {
      const child = spawn(AGENTCTL, args, { env: { ...process.env, ...environment() }, stdio: ['pipe', 'pipe', 'pipe'] });
      let message = '';
      child.stderr.on('data', (chunk: Buffer) => (message += chunk.toString()));
      if (args[0] === 'ids') await eventually('its call', async () => (model.reloads === 1 ? true : undefined));
      // More than the pipe holds: written only when the child reads.
      else await new Promise<void>((resolve) => child.stdin.write('# typed\n'.repeat(500_000), () => resolve()));
      child.kill('SIGINT');
      const [code]: unknown[] = await once(child, 'close');
      expect([args, code]).toEqual([args, 1]);
      expect(message).toMatch(/^agentctl: (the call was cancelled|interrupted)\n$/u);
    }
    release();
  });

  test('a capture writes what came until it is interrupted', async () => {
    const file = join(folder, 'x.pcap');
    expect((await agentctl(['capture', '-f', 'tap7', '-w', file, '-c', '2'])).code).toBe(0);
    expect([...readFileSync(file)]).toEqual([0xd4, 0xc3, 0xb2, 0xa1, 0, 1]);
    const child = start(['capture', '-f', 'tap7', '-w', file]);
    await eventually('four packets', async () => (statSync(file).size === 8 ? true : undefined));
    child.kill('SIGINT');
    const [code]: unknown[] = await once(child, 'exit');
    expect(code).toBe(0);
    expect((await agentctl(['capture', '-f', 'tap7', '-w', '-', '-c', '2'])).stdout.endsWith('\u0000\u0001')).toBe(true);
    expect((await agentctl(['capture', '-f', 'nope', '-w', file])).code).toBe(4);
    expect(statSync(file).size).toBe(8);
  });

  test('a reader that leaves (head) is no failure: quiet, exit 0, and the agent stops sending', async () => {
    model.flowBytes = 2_000_000_000;
    const script = `"${AGENTCTL}" getflows --all | head -n 2; echo "status \${PIPESTATUS[0]}"`;
    const result = await command('bash', ['-c', script], { env: environment(), timeoutMs: 20_000 });
    expect(result.stderr).toBe('');
    expect(result.stdout).toBe(`Count retrieved from kernel active(L3,L4)=3, active(L2)+inactive(L3,L4)=0, drop(L2,L3,L4)=0\n${FLOW_LINE}status 0\n`);
    await eventually('the cancellation', async () => (model.cancelled === 1 ? true : undefined));
  });

  test('200 MB of flows pass through unchanged with flat memory on both sides, also to a slow reader', async () => {
    model.flowBytes = 200_000_000;
    const before = process.memoryUsage.rss();
    let highest = before;
    const child = start(['getflows', '--all']);
    const peaks: number[] = [];
    const sample = (): void => {
      highest = Math.max(highest, process.memoryUsage.rss());
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
      peaks.push(Number(/^VmHWM:\s+(\d+)/mu.exec(status)?.[1] ?? 0) * 1024);
    };
    let bytes = 0;
    let chunks = 0;
    let header = '';
    for await (const chunk of child.stdout ?? []) {
      if (!Buffer.isBuffer(chunk)) throw new Error('stdout gives buffers');
      if (header.length < 400) header += chunk.toString('latin1', 0, 400);
      bytes += chunk.length;
      chunks += 1;
      if (chunks === 5) {
        // While nobody reads, neither side may buffer what it cannot hand on.
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      if (chunks % 64 === 5 && child.exitCode === null) sample();
    }
    const lines = Math.ceil(200_000_000 / (Math.floor((256 * 1024) / FLOW_LINE.length) * FLOW_LINE.length)) * Math.floor((256 * 1024) / FLOW_LINE.length);
    const head = 'Count retrieved from kernel active(L3,L4)=3, active(L2)+inactive(L3,L4)=0, drop(L2,L3,L4)=0\n';
    expect(header.startsWith(`${head}${FLOW_LINE}`)).toBe(true);
    expect(bytes).toBe(head.length + lines * FLOW_LINE.length);
    expect(peaks.length).toBeGreaterThan(10);
    expect(Math.max(...peaks)).toBeLessThan(160_000_000);
    expect(highest - before).toBeLessThan(120_000_000);
  });

  test('help names every verb; each verb has examples', async () => {
    const help = (await agentctl(['--help'])).stdout;
    const verbs = [...help.matchAll(/^ {2}agentctl ([\w-]+)/gmu)].map((match) => match[1] ?? '');
    expect(verbs).toEqual(expect.arrayContaining(['getfilters', 'summarize-dvfilter', 'getrules', 'getflows', 'trace', 'apply', 'completion']));
    for (const verb of verbs) {
      const { code, stdout, stderr } = await agentctl([verb, '--help']);
      expect([verb, code, stderr]).toEqual([verb, 0, '']);
      expect(stdout).toMatch(/^Examples:\n {2}\S/mu);
    }
  }, 60_000);

  test('bash completes verbs, options, kinds and the filters of the running agent', async () => {
    const complete = async (line: string): Promise<string[]> => {
      const script = `agentctl() { "${AGENTCTL}" "$@"; }
        source <(agentctl completion bash)
        COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _agentctl_complete; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const result = await command('bash', ['-c', script], { env: environment() });
      expect(result.stderr).toBe('');
      return result.stdout.trim().split('\n');
    };
    expect(await complete('agentctl getfl')).toEqual(['getflows']);
    expect(await complete('agentctl getflows --a')).toEqual(['--all']);
    expect(await complete('agentctl get vir')).toEqual(['virtualmachine']);
    expect(await complete('agentctl getrules -f nic')).toEqual([FILTER]);
    expect(await complete("agentctl getrules -f ''")).toEqual([FILTER, 'tap7', 'web-sv-01a']);
    expect(await complete('agentctl get pod w')).toEqual(['web']);
    const trap = join(folder, 'trap');
    const hostile = (name: string): typeof filterView => ({ ...filterView, name, interface: '', workload: { kind: 'VirtualMachine', name } });
    model.others.push(hostile(`evil$(touch ${trap})`), hostile('evil\u001b[2J'));
    expect(await complete('agentctl getrules -f evil')).toEqual([`evil\\$\\(touch\\ ${trap}\\)`]);
    expect(existsSync(trap)).toBe(false);
  });
});
