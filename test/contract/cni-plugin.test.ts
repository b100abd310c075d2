/** dfw-cni as a runtime starts it, with the agent's socket answered by the test. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cniFrame, readCniRequest, type CniRequest } from '../../src/api/cni-messages.js';
import { CniServer } from '../../src/api/cni-server.js';
import { AgentError } from '../../src/model/errors.js';
import { loadNative } from '../../src/native/load.js';
import { runPlugin, type PluginResult } from '../support/cni.js';
import { CollectingLogger } from './api-support/collecting-logger.js';
import { TestNamespace } from './native-host.js';

const MAC = '0a:00:00:00:00:02';
let directory: string;
let socket: string;
let host: TestNamespace;
let inside: TestNamespace;
let server: CniServer | undefined;
let asked: CniRequest[] = [];
let refuse: AgentError | undefined;
let delayMs = 0;

const ip = (where: TestNamespace, words: string): string => where.run('ip', ...words.split(' '));
const prevResult = { cniVersion: '1.0.0', interfaces: [{ name: 'veth2' }, { name: 'eth0', sandbox: 'x' }], ips: [{ address: '10.0.0.2/24', interface: 1 }] };
const environment = (over: Record<string, string | undefined> = {}): Record<string, string | undefined> => ({
  CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c0ffee', CNI_NETNS: `/run/netns/${inside.name}`, CNI_IFNAME: 'eth0', CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0', ...over,
});
const config = (over: Record<string, unknown> = {}): Record<string, unknown> => ({ cniVersion: '1.0.0', name: 'pods', type: 'dfw-cni', socket, connectMs: 0, timeoutMs: 5000, prevResult, ...over });
const run = (over: { config?: Record<string, unknown>; env?: Record<string, string | undefined>; input?: string } = {}): Promise<PluginResult> =>
  runPlugin(host.name, over.input ?? JSON.stringify(config(over.config)), environment(over.env));

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'dfwc-cni-'));
  socket = join(directory, 'cni.sock');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
beforeEach(async () => {
  asked = [];
  refuse = undefined;
  delayMs = 0;
  host = new TestNamespace();
  inside = new TestNamespace();
  ip(host, `link add veth2 type veth peer name eth0 address ${MAC} netns ${inside.name}`);
  const native = loadNative();
  server = new CniServer({
    socketPath: socket, log: new CollectingLogger(), peerCredentials: (fd) => native.peerCredentials(fd), allow: ({ uid }) => uid === 0,
    handle: async (request) => {
      asked.push(request);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (refuse !== undefined) throw refuse;
    },
  });
  await server.start();
});
afterEach(async () => {
  await server?.stop();
  host.dispose();
  inside.dispose();
});

describe('what it tells the agent', () => {
  const told = { network: 'pods', containerId: 'c0ffee', vnic: 'eth0', pod: { namespace: 'shop', name: 'web-0' }, interface: 'veth2', mac: MAC, addresses: ['10.0.0.2'] };

  it('is the pod, the host\'s end of its interface, and its addresses; the result goes on as it came', async () => {
    const odd = { z: 1, cniVersion: '1.0.0', interfaces: prevResult.interfaces, ips: prevResult.ips, dns: { search: ['ü', '\\', '/'] } };
    // As text: JavaScript knows no such number.
    const text = `{"z":1,"cniVersion":"1.0.0","interfaces":${JSON.stringify(odd.interfaces)},"ips":${JSON.stringify(odd.ips)},"dns":${JSON.stringify(odd.dns)},"big":9007199254740993,"none":null,"half":0.5}`;
    const result = await run({ input: JSON.stringify(config({ prevResult: 0 })).replace('"prevResult":0', `"prevResult":${text}`) });
    expect(result).toMatchObject({ code: 0, answer: JSON.parse(text) as unknown, stderr: '' });
    expect(asked).toEqual([{ command: 'ADD', timeoutMs: 5000, interface: told }]);
  });

  it('takes results of earlier versions as they are', async () => {
    const earlier = { cniVersion: '0.4.0', interfaces: prevResult.interfaces, ips: [{ version: '4', address: '10.0.0.2/24', interface: 1 }, { version: '6', address: 'fd00::2/64' }, { version: '4', address: '10.0.0.9/24', interface: 0 }] };
    expect(await run({ config: { cniVersion: '0.4.0', prevResult: earlier } })).toMatchObject({ code: 0, answer: earlier });
    expect(asked).toMatchObject([{ interface: { addresses: ['10.0.0.2', 'fd00::2'] } }]);
    // Without a version in it, it has that of the configuration.
    expect(await run({ config: { cniVersion: '0.3.1', prevResult: { ips: [] } } })).toMatchObject({ code: 0, answer: { ips: [], cniVersion: '0.3.1' } });
  });

  it('believes the kernel about the interface, not the result', async () => {
    ip(host, 'link add br0 type bridge');
    ip(host, 'link set veth2 master br0');
    ip(host, 'link add other type veth peer name peer');
    const misleading = { ...prevResult, interfaces: [{ name: 'br0' }, { name: 'other' }, { name: 'eth0', sandbox: 'x' }] };
    expect((await run({ config: { prevResult: misleading } })).code).toBe(0);
    expect(asked).toMatchObject([{ interface: { interface: 'veth2' } }]);
  });

  it('refuses to guess where the other end is somewhere else', async () => {
    const third = new TestNamespace();
    try {
      ip(host, 'link del veth2');
      // The numbers are such that the host has interfaces with those of both ends.
      ip(third, `link add far type veth peer name eth0 netns ${inside.name}`);
      for (const pair of ['a', 'b']) ip(host, `link add ${pair}0 type veth peer name ${pair}1`);
      const nothing = { ...prevResult, interfaces: [{ name: 'eth0', sandbox: 'x' }] };
      expect(await run({ config: { prevResult: nothing } })).toMatchObject({ code: 1, answer: { code: 100, msg: expect.stringContaining('cannot be told') as string } });
      expect(await run({ config: { prevResult: { ...prevResult, interfaces: [{ name: 'a0' }, { name: 'b0' }] } } })).toMatchObject({ code: 1, answer: { code: 100 } });
      expect(asked).toEqual([]);
      // One that the plugin before names, bridges apart, is no guess.
      ip(host, 'link add br0 type bridge');
      expect((await run({ config: { prevResult: { ...prevResult, interfaces: [{ name: 'br0' }, { name: 'a0' }, { name: 'gone' }] } } })).code).toBe(0);
      expect(asked).toMatchObject([{ interface: { interface: 'a0' } }]);
    } finally {
      third.dispose();
    }
  });

  it('tells of DEL, GC and STATUS what a runtime gives for them', async () => {
    const bare = { CNI_NETNS: undefined, CNI_ARGS: undefined };
    expect(await run({ env: { CNI_COMMAND: 'DEL', ...bare }, config: { prevResult: undefined } })).toMatchObject({ code: 0, answer: undefined });
    expect(await run({ env: { CNI_COMMAND: 'GC', ...bare, CNI_CONTAINERID: undefined, CNI_IFNAME: undefined }, config: { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'eth0' }] } })).toMatchObject({ code: 0, answer: undefined });
    expect(await run({ env: { CNI_COMMAND: 'STATUS', ...bare, CNI_CONTAINERID: undefined }, config: { cniVersion: '1.1.0' } })).toMatchObject({ code: 0, answer: undefined });
    expect(asked).toEqual([
      { command: 'DEL', key: { network: 'pods', containerId: 'c0ffee', vnic: 'eth0' } },
      { command: 'GC', network: 'pods', valid: [{ network: 'pods', containerId: 'a', vnic: 'eth0' }] }, { command: 'STATUS' },
    ]);
  });
});

describe('errors', () => {
  it.each<[string, number, { config?: Record<string, unknown>; env?: Record<string, string | undefined>; input?: string }]>([
    ['no JSON', 6, { input: '{' }],
    ['no object', 6, { input: '[]' }],
    ['nothing', 6, { input: '' }],
    ['another version', 1, { config: { cniVersion: '2.0.0' } }],
    ['no version', 1, { config: { cniVersion: undefined } }],
    ['no prevResult', 7, { config: { prevResult: undefined } }],
    ['a policy that is none', 7, { config: { onAgentAway: 'maybe' } }],
    ['a time that is none', 7, { config: { timeoutMs: '1s' } }],
    ['no command', 4, { env: { CNI_COMMAND: undefined } }],
    ['a command that is none', 4, { env: { CNI_COMMAND: 'FLY' } }],
    ['no container', 4, { env: { CNI_CONTAINERID: undefined } }],
    ['no pod', 4, { env: { CNI_ARGS: 'K8S_POD_NAMESPACE=shop;XK8S_POD_NAME=web' } }],
    ['no such namespace', 5, { env: { CNI_NETNS: '/run/netns/none-such' } }],
    ['a file that is no namespace', 5, { env: { CNI_NETNS: '/etc/passwd' } }],
    ['no such interface', 100, { env: { CNI_IFNAME: 'eth7' } }],
  ])('%s: code %i, and nobody is asked', async (_, code, over) => {
    const result = await run(over);
    expect(result).toMatchObject({ code: 1, answer: { cniVersion: expect.any(String) as string, code, msg: expect.stringContaining('dfw-cni: ') as string } });
    expect(asked).toEqual([]);
  });

  it('says what the agent says, whether or not pods pass while it is away', async () => {
    refuse = new AgentError('E_KERNEL', 'no \u{1f600}', { object: 'veth2' });
    for (const onAgentAway of ['fail', 'pass']) {
      expect(await run({ config: { onAgentAway } })).toMatchObject({ code: 1, answer: { code: 102, msg: 'dfw-cni: the agent refused: veth2: no \u{1f600}', details: 'E_KERNEL' } });
    }
    // A pod must be able to end.
    expect((await run({ env: { CNI_COMMAND: 'DEL' } })).code).toBe(0);
  });

  it('has a time limit', async () => {
    delayMs = 3_000;
    const late = await run({ config: { timeoutMs: 300 } });
    expect(late).toMatchObject({ code: 1, answer: { code: 101, details: 'it took too long' } });
    expect(late.ms).toBeLessThan(2_500);
    expect(await run({ config: { timeoutMs: 300, onAgentAway: 'pass' } })).toMatchObject({ code: 0, answer: prevResult });
  });

  it('an agent that closes, says nothing sensible, or is not there', async () => {
    await server?.stop();
    server = undefined;
    expect(await run()).toMatchObject({ code: 1, answer: { code: 101 } });
    const speak = async (answer: Buffer, expected: number): Promise<void> => {
      const other: Server = createServer((peer) => {
        peer.on('error', () => undefined);
        peer.once('data', () => peer.end(answer));
      });
      await new Promise<void>((resolve) => other.listen(socket, resolve));
      try {
        expect(await run()).toMatchObject({ code: 1, answer: { code: expected } });
      } finally {
        await new Promise((resolve) => other.close(resolve));
      }
    };
    await speak(Buffer.alloc(0), 101);
    await speak(Buffer.from([0, 0, 0, 9, 1]), 101);
    await speak(Buffer.from([0xff, 0xff, 0xff, 0xff]), 5);
    await speak(cniFrame('nonsense'), 5);
    await speak(cniFrame('{"ok":1}'), 6);
    writeFileSync(socket, '');
    expect(await run()).toMatchObject({ code: 1, answer: { code: 101 } });
    rmSync(socket);
  });

  it('VERSION answers without anything else', async () => {
    for (const [input, version] of [['', '1.1.0'], ['{}', '1.1.0'], ['{"cniVersion":"0.4.0"}', '0.4.0']] as const) {
      expect(await runPlugin(host.name, input, { CNI_COMMAND: 'VERSION' })).toMatchObject({ code: 0, answer: { cniVersion: version, supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] } });
    }
  });
});

describe('the socket', () => {
  it('is root\'s alone, refuses others unheard, and drops who says nothing sensible', async () => {
    await server?.stop();
    const log = new CollectingLogger();
    const native = loadNative();
    server = new CniServer({ socketPath: socket, log, peerCredentials: (fd) => native.peerCredentials(fd), allow: () => false, handle: async () => Promise.reject(new Error('asked')) });
    await server.start();
    expect(inside.run('stat', '-c', '%a %u', socket).trim()).toBe('600 0');
    expect(await run()).toMatchObject({ code: 1, answer: { code: 101 } });
    expect(readCniRequest(JSON.stringify({ version: 1, command: 'STATUS' }))).toEqual({ command: 'STATUS' });
  });
});
