/** The connection against peers that do what no switch should. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { OpenFlowConnection } from '../../../../../src/drivers/ovs/openflow/connection.js';
import type { OpenFlowEvents, OpenFlowOptions } from '../../../../../src/drivers/ovs/openflow/connection.js';
import { MESSAGE, OF14, OF15 } from '../../../../../src/drivers/ovs/openflow/constants.js';
import { encodeFlowMod } from '../../../../../src/drivers/ovs/openflow/flow-mod.js';
import { MessageSplitter } from '../../../../../src/drivers/ovs/openflow/framing.js';
import { readMessage } from '../../../../../src/drivers/ovs/openflow/message.js';
import type { Message } from '../../../../../src/drivers/ovs/openflow/message.js';
import { buildTableStatsRequest, encodeFeaturesRequest } from '../../../../../src/drivers/ovs/openflow/messages.js';
import type { AgentError } from '../../../../../src/model/errors.js';
import { systemClock } from '../../../../../src/platform/clock.js';
import type { Logger } from '../../../../../src/platform/logger.js';

const HELLO = Buffer.from('06000010000000010001000800000060', 'hex');
type Answer = (message: Message, socket: Socket) => void;

let directory: string;
let server: Server | undefined;
let sockets: Socket[];
let connections: OpenFlowConnection[];
let logged: string[];
const log: Logger = {
  error: (event) => logged.push(event), warn: (event) => logged.push(event), info: () => undefined, debug: (event) => logged.push(event), child: () => log,
};

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dfw-of-'));
  sockets = [];
  connections = [];
  logged = [];
});

afterEach(async () => {
  await Promise.all(connections.map((connection) => connection.stop()));
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => {
    if (server === undefined) resolve();
    else server.close(() => resolve());
  });
  server = undefined;
  await rm(directory, { recursive: true, force: true });
});

/** A peer that answers every message as told, after a hello of its own. */
async function peer(answer: Answer, hello: Buffer = HELLO): Promise<string> {
  const file = path.join(directory, 'br.mgmt');
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    const splitter = new MessageSplitter();
    socket.write(hello);
    socket.on('data', (chunk: Buffer) => splitter.push(chunk, (bytes) => {
      const message = readMessage(Buffer.from(bytes));
      if (message.type !== MESSAGE.HELLO) answer(message, socket);
    }));
  });
  await new Promise<void>((resolve) => {
    server?.listen(file, () => resolve());
  });
  return file;
}

async function connect(file: string, events: OpenFlowEvents = {}, more: Partial<OpenFlowOptions> = {}): Promise<OpenFlowConnection> {
  const connection = new OpenFlowConnection({ path: file, clock: systemClock, log, events, connectTimeoutMs: 300, ...more });
  connections.push(connection);
  await connection.start(new AbortController().signal);
  return connection;
}

function reply(request: Message, type: number, body: string, version = OF15 as number): Buffer {
  const content = Buffer.from(body.replaceAll(' ', ''), 'hex');
  const message = Buffer.alloc(8 + content.length);
  message.set([version, type]);
  message.writeUInt16BE(message.length, 2);
  message.writeUInt32BE(request.xid, 4);
  message.set(content, 8);
  return message;
}

const mute: Answer = () => undefined;
const echoBarriers: Answer = (message, socket) => {
  if (message.type === MESSAGE.BARRIER_REQUEST) socket.write(reply(message, MESSAGE.BARRIER_REPLY, ''));
};

test('nobody listens', async () => {
  await expect(connect(path.join(directory, 'absent'))).rejects.toMatchObject({ code: 'E_UNREACHABLE', retryable: true });
});

test('nobody says hello', async () => {
  await expect(connect(await peer(mute, Buffer.alloc(0)))).rejects.toMatchObject({ code: 'E_UNREACHABLE', message: expect.stringContaining('no hello within 300 ms') as string });
});

test.each([
  ['no version of ours', '0400001000000001' + '0001000800000010', 'E_CONFIG'],
  ['a refusal', '0601000c00000001' + '00000000', 'E_IO'],
  ['something else than hello', '0602000800000001', 'E_PARSE'],
  ['a hello with a wrong part', '0600000c00000001' + '00010001', 'E_PARSE'],
  ['no OpenFlow', Buffer.from('GET / HTTP/1.1\r\n').toString('hex').replace(/^(.{4}).{4}/, '$10001'), 'E_PARSE'],
])('the peer sends %s', async (_, hello, code) => {
  await expect(connect(await peer(mute, Buffer.from(hello, 'hex')))).rejects.toMatchObject({ code });
});

test('the highest version that both speak is taken', async () => {
  const file = await peer(echoBarriers, Buffer.from('05000010000000010001000800000020', 'hex'));
  expect((await connect(file)).version).toBe(OF14);
});

test('a message that is none ends the connection once, and all who wait hear it', async () => {
  const reasons: AgentError[] = [];
  const file = await peer((message, socket) => {
    if (message.type === MESSAGE.FEATURES_REQUEST) socket.write(Buffer.from('0615000700000000', 'hex'));
  });
  const connection = await connect(file, { closed: (reason) => reasons.push(reason) });
  const results = await Promise.allSettled([connection.barrier(), connection.request(encodeFeaturesRequest(OF15)), connection.bundle([])]);
  expect(results.map((result) => (result.status === 'rejected' ? (result.reason as AgentError).code : 'none'))).toEqual(['E_PARSE', 'E_PARSE', 'E_PARSE']);
  expect(reasons.map(({ code }) => code)).toEqual(['E_PARSE']);
  expect(connection.open).toBe(false);
});

test('a message of another version ends the connection', async () => {
  const file = await peer((message, socket) => socket.write(reply(message, MESSAGE.BARRIER_REPLY, '', OF14)));
  await expect((await connect(file)).barrier()).rejects.toMatchObject({ code: 'E_PARSE' });
});

test('a malformed part of a reply ends that request only', async () => {
  const file = await peer((message, socket) => {
    if (message.type === MESSAGE.MULTIPART_REQUEST) {
      socket.write(reply(message, MESSAGE.MULTIPART_REPLY, '0001 0001 00000000 0005 0000'));
      // What follows of it is ignored.
      socket.write(reply(message, MESSAGE.MULTIPART_REPLY, '0001 0000 00000000'));
    } else {
      echoBarriers(message, socket);
    }
  });
  const connection = await connect(file);
  await expect(connection.dumpFlows({}, () => undefined)).rejects.toMatchObject({ code: 'E_PARSE' });
  await connection.barrier();
  expect(logged).toContain('openflow.ignored');
});

test('another kind of reply is refused, and what the caller throws comes back to the caller', async () => {
  const file = await peer((message, socket) => {
    if (message.type === MESSAGE.BARRIER_REQUEST) echoBarriers(message, socket);
    else if (message.type === MESSAGE.MULTIPART_REQUEST && message.bytes[9] === 3) socket.write(reply(message, MESSAGE.MULTIPART_REPLY, '0003 0000 00000000'));
    else socket.write(reply(message, MESSAGE.BARRIER_REPLY, ''));
  });
  const connection = await connect(file);
  await expect(connection.dumpFlows({}, () => undefined)).rejects.toMatchObject({ code: 'E_PARSE' });
  await expect(connection.request(encodeFeaturesRequest(OF15))).rejects.toMatchObject({ code: 'E_PARSE' });
  const mine = new RangeError('mine');
  const thrown = connection.multipart(buildTableStatsRequest(OF15), () => {
    throw mine;
  });
  await expect(thrown).rejects.toBe(mine);
  await connection.barrier();
});

test('the peer is asked after a silence, its echo requests are answered, and its silence ends the connection', async () => {
  const seen: number[] = [];
  const reasons: AgentError[] = [];
  const file = await peer((message, socket) => {
    seen.push(message.type);
    if (message.type === MESSAGE.BARRIER_REQUEST) {
      socket.write(Buffer.from('0602000a00000063beef', 'hex'));
    }
  });
  const connection = await connect(file, { closed: (reason) => reasons.push(reason) }, { echoIntervalMs: 50, echoTimeoutMs: 150 });
  await expect(connection.barrier()).rejects.toMatchObject({ code: 'E_UNREACHABLE', retryable: true, message: expect.stringContaining('no sign of life') as string });
  expect(seen).toContain(MESSAGE.ECHO_REPLY);
  expect(seen).toContain(MESSAGE.ECHO_REQUEST);
  expect(reasons).toHaveLength(1);
});

test('a peer that closes in the middle of a bundle', async () => {
  let added = 0;
  const file = await peer((message, socket) => {
    if (message.type === MESSAGE.BUNDLE_CONTROL) socket.write(reply(message, MESSAGE.BUNDLE_CONTROL, '00000001 0001 0003'));
    else added += 1;
    if (added === 100) socket.destroy();
  });
  const connection = await connect(file);
  let made = 0;
  function* endless(): Generator<Buffer> {
    for (;;) {
      made += 1;
      yield encodeFlowMod({ command: 'add', table: 0, priority: made & 0xffff }, OF15);
    }
  }
  await expect(connection.bundle(endless())).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
  expect(made).toBeGreaterThan(100);
});

test('a peer that does not read holds the sender up instead of filling its memory', async () => {
  const file = await peer((message, socket) => {
    if (message.type !== MESSAGE.BUNDLE_CONTROL) return;
    socket.write(reply(message, MESSAGE.BUNDLE_CONTROL, '00000001 0001 0003'));
    socket.pause();
  });
  const connection = await connect(file);
  let made = 0;
  const message = encodeFlowMod({ command: 'add', table: 0, instructions: Buffer.alloc(8000) }, OF15);
  function* many(): Generator<Buffer> {
    for (; made < 100_000; made += 1) yield message;
  }
  const bundle = connection.bundle(many());
  const ended = bundle.catch((error: unknown) => error);
  // A busy machine takes its time to fill the socket.
  let before = -1;
  for (let looks = 0; looks < 50 && made !== before; looks += 1) {
    before = made;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect([made, before < 2000, before > 0]).toEqual([before, true, true]);
  await connection.stop();
  expect(await ended).toMatchObject({ code: 'E_CANCELLED' });
});

test('a listener that throws is logged and harms nobody', async () => {
  const file = await peer((message, socket) => {
    socket.write(Buffer.from('06010010000000ff00010001deadbeef', 'hex'));
    echoBarriers(message, socket);
  });
  const connection = await connect(file, {
    refused: () => {
      throw new Error('mine');
    },
  });
  await connection.barrier();
  expect(logged).toContain('openflow.listener_failed');
});

test('starting twice and asking before the start are errors of the caller', async () => {
  const connection = new OpenFlowConnection({ path: await peer(echoBarriers), clock: systemClock, log });
  connections.push(connection);
  await expect(connection.barrier()).rejects.toMatchObject({ code: 'E_INTERNAL' });
  expect(() => connection.version).toThrow(expect.objectContaining({ code: 'E_INTERNAL' }));
  await connection.start(new AbortController().signal);
  await expect(connection.start(new AbortController().signal)).rejects.toMatchObject({ code: 'E_INTERNAL' });
  const never = new OpenFlowConnection({ path: directory, clock: systemClock, log });
  await expect(never.start(AbortSignal.abort())).rejects.toMatchObject({ code: 'E_CANCELLED' });
  await never.stop();
});
