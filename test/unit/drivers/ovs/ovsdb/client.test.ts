/** The client against a server of our own that answers what the test wants: the wrong things too. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OvsdbClient } from '../../../../../src/drivers/ovs/ovsdb/client.js';
import type { OvsdbClientOptions, Synchronized } from '../../../../../src/drivers/ovs/ovsdb/client.js';
import { comment, insertRow, readResults } from '../../../../../src/drivers/ovs/ovsdb/operations.js';
import type { RowChange } from '../../../../../src/drivers/ovs/ovsdb/replica.js';
import { parseEndpoint } from '../../../../../src/drivers/ovs/ovsdb/transport.js';
import type { AgentError } from '../../../../../src/model/errors.js';
import { systemClock } from '../../../../../src/platform/clock.js';
import type { Logger } from '../../../../../src/platform/logger.js';
import { Cleanup } from '../../../../support/cleanup.js';
import { eventually } from '../../../../support/command.js';

const SCHEMA = { name: 'db', version: '1', tables: { T: { columns: { name: { type: 'string' }, count: { type: 'integer' } } } } };
const ROW = '00000000-0000-0000-0000-000000000001';
const AT = (n: number): string => `${String(n).padStart(8, '0')}-0000-4000-8000-000000000000`;

interface Request { readonly method: string; readonly params: readonly unknown[]; readonly id: unknown }
/** What to write for a request: text as it stands, or undefined for nothing. */
type Answer = (request: Request, connection: number) => string | undefined;

const reply = (request: Request, result: unknown): string => JSON.stringify({ id: request.id, result, error: null });
const refuse = (request: Request, error: unknown): string => JSON.stringify({ id: request.id, result: null, error });
const notify = (method: string, params: unknown): string => JSON.stringify({ method, params, id: null });

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

describe('OvsdbClient', () => {
  const cleanup = new Cleanup();
  let socketPath = '';
  let server: Server;
  let sockets: Socket[] = [];
  let requests: Request[] = [];
  let answer: Answer;
  let changes: RowChange[] = [];
  let synchronizations: Synchronized[] = [];
  let closings: AgentError[] = [];

  const usual: Answer = (request) => {
    if (request.method === 'get_schema') return reply(request, SCHEMA);
    if (request.method === 'monitor_cond_since') return reply(request, [false, AT(1), { T: { [ROW]: { initial: { name: 'one', count: 1 } } } }]);
    return undefined;
  };

  beforeEach(async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'dfwt-db-'));
    cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    socketPath = path.join(directory, 'db.sock');
    sockets = [];
    requests = [];
    changes = [];
    synchronizations = [];
    closings = [];
    answer = usual;
    server = createServer((socket) => {
      const connection = sockets.push(socket);
      socket.on('error', () => undefined);
      // Requests of this test are small and come one at a time or back to back; each ends where the next begins.
      socket.on('data', (chunk: Buffer) => {
        for (const text of chunk.toString().replaceAll('}{', '}\n{').split('\n')) {
          const request = JSON.parse(text) as Request;
          requests.push(request);
          const bytes = answer(request, connection);
          if (bytes !== undefined) socket.write(bytes);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    cleanup.defer('server', () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  });
  afterEach(() => cleanup.run());

  function start(options: Partial<OvsdbClientOptions> = {}): OvsdbClient {
    const client = new OvsdbClient({
      endpoint: `unix:${socketPath}`, database: 'db', selection: { T: ['name', 'count'] }, clock: systemClock, log: silent, random: () => 0,
      listener: { changed: (batch) => changes.push(...batch), synchronized: (event) => synchronizations.push(event), closed: (error) => closings.push(error) },
      ...options,
    });
    cleanup.defer('client', () => client.stop());
    client.start(new AbortController().signal);
    return client;
  }
  const ready = (client: OvsdbClient): Promise<void> => client.ready(AbortSignal.timeout(5_000));
  const asked = (method: string): Request[] => requests.filter((request) => request.method === method);

  it('takes updates that stand in the same piece as the answer before them', async () => {
    answer = (request, connection) =>
      request.method === 'monitor_cond_since'
        ? `${usual(request, connection) ?? ''}${notify('update3', ['dfw', AT(2), { T: { [ROW]: { modify: { count: 2 } } } }])}${notify('update3', ['dfw', AT(3), { T: { [ROW]: { modify: { name: 'two' } } } }])}`
        : usual(request, connection);
    const client = start();
    await ready(client);
    await eventually('the updates', () => Promise.resolve(changes.length === 3 ? true : undefined));
    expect(client.replica.table('T').get(ROW)).toEqual(new Map<string, unknown>([['name', 'two'], ['count', 2]]));
    expect(changes.map(({ after }) => after?.get('count'))).toEqual([1, 2, 2]);
  });

  it('falls back to the methods that older servers know, and no further than that', async () => {
    answer = (request, connection) => {
      if (request.method === 'monitor_cond_since' || request.method === 'monitor_cond') return refuse(request, 'unknown method');
      return request.method === 'monitor' ? reply(request, { T: { [ROW]: { new: { name: 'old', count: 9 } } } }) : usual(request, connection);
    };
    const client = start();
    await ready(client);
    expect(requests.map(({ method }) => method)).toEqual(['get_schema', 'monitor_cond_since', 'monitor_cond', 'monitor']);
    expect(asked('monitor')[0]?.params).toEqual(['db', 'dfw', { T: { columns: ['name', 'count'] } }]);
    sockets[0]?.write(notify('update', ['dfw', { T: { [ROW]: { old: { count: 9 }, new: { name: 'old', count: 10 } } } }]));
    await eventually('the update', () => Promise.resolve(client.replica.table('T').get(ROW)?.get('count') === 10 ? true : undefined));
    expect(synchronizations).toEqual([{ method: 'monitor', how: 'first', missing: [] }]);
  });

  it('goes on where it was after the connection broke, and asks for everything when the place is not known any more', async () => {
    const client = start();
    await ready(client);
    sockets[0]?.write(notify('update3', ['dfw', AT(2), { T: { [ROW]: { modify: { count: 2 } } } }]));
    await eventually('the update', () => Promise.resolve(changes.length === 2 ? true : undefined));
    answer = (request, connection) => (request.method === 'monitor_cond_since' ? reply(request, [true, AT(5), { T: { [ROW]: { modify: { count: 5 } } } }]) : usual(request, connection));
    sockets[0]?.destroy();
    await eventually('the second synchronization', () => Promise.resolve(synchronizations[1]));
    expect(asked('monitor_cond_since').map(({ params }) => params[3])).toEqual(['00000000-0000-0000-0000-000000000000', AT(2)]);
    expect(client.replica.table('T').get(ROW)?.get('count')).toBe(5);
    answer = usual;
    sockets[1]?.destroy();
    await eventually('the third', () => Promise.resolve(synchronizations[2]));
    expect(asked('monitor_cond_since')[2]?.params[3]).toBe(AT(5));
    expect(synchronizations.map(({ how }) => how)).toEqual(['first', 'resumed', 'reread']);
    expect(changes.map(({ after }) => after?.get('count'))).toEqual([1, 2, 5, 1]);
    expect(closings.map(({ code }) => code)).toEqual(['E_IO', 'E_IO']);
  });

  it('does not go on from rows of another schema', async () => {
    const client = start({ selection: { T: ['name', 'count', 'colour'] } });
    await ready(client);
    const upgraded = { ...SCHEMA, tables: { T: { columns: { ...SCHEMA.tables.T.columns, colour: { type: 'string' } } } } };
    answer = (request, connection) => {
      if (request.method === 'get_schema') return reply(request, upgraded);
      return request.method === 'monitor_cond_since' ? reply(request, [false, AT(2), { T: { [ROW]: { initial: { name: 'one', count: 1, colour: 'red' } } } }]) : usual(request, connection);
    };
    sockets[0]?.destroy();
    await eventually('the second synchronization', () => Promise.resolve(synchronizations[1]));
    expect(synchronizations.map(({ how, missing }) => [how, missing])).toEqual([['first', ['T.colour']], ['reread', []]]);
    expect(asked('monitor_cond_since')[1]?.params[3]).toBe('00000000-0000-0000-0000-000000000000');
    expect(changes.map(({ before, after }) => [before?.get('colour'), after?.get('colour')])).toEqual([[undefined, undefined], [undefined, 'red']]);
  });

  it.each<[string, string, string]>([
    ['an update that cannot be applied', notify('update3', ['dfw', AT(2), { T: { [AT(7)]: { modify: { count: 2 } } } }]), 'E_PARSE'],
    ['what is no JSON-RPC', 'hello', 'E_PARSE'],
    ['a message without end', `{"a":"${'x'.repeat(5_000)}`, 'E_LIMIT'],
  ])('drops a server that sends %s, and reads all anew', async (_what, bytes, code) => {
    const client = start({ longest: 4_000 });
    await ready(client);
    sockets[0]?.write(bytes);
    await eventually('the second synchronization', () => Promise.resolve(synchronizations[1]));
    expect(closings).toMatchObject([{ code }]);
    expect(asked('monitor_cond_since').map(({ params }) => params[3])).toEqual(['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000']);
    expect(changes).toHaveLength(1);
  });

  it.each<[string, Answer]>([
    ['refuses the database', (request, connection) => (connection === 1 ? refuse(request, { error: 'unknown database', details: 'no db' }) : usual(request, connection))],
    ['sends no schema', (request, connection) => (connection === 1 ? reply(request, 'schema') : usual(request, connection))],
    ['answers the monitor with nonsense', (request, connection) => (connection === 1 && request.method === 'monitor_cond_since' ? reply(request, [true]) : usual(request, connection))],
    ['sends rows that do not fit the schema', (request, connection) => (connection === 1 && request.method === 'monitor_cond_since' ? reply(request, [false, AT(1), { T: { [ROW]: { initial: { name: 7 } } } }]) : usual(request, connection))],
    ['does not answer', (request, connection) => (connection === 1 ? undefined : usual(request, connection))],
  ])('tries again when the server %s at first', async (_what, first) => {
    answer = first;
    const client = start({ connectMs: 200 });
    await ready(client);
    expect(sockets.length).toBeGreaterThan(1);
    expect([synchronizations.length, closings]).toEqual([1, []]);
  });

  it('answers the echoes that the server sends, and refuses what else it asks', async () => {
    const client = start();
    await ready(client);
    sockets[0]?.write(`${JSON.stringify({ method: 'echo', params: ['are you there'], id: 'e1' })}${JSON.stringify({ method: 'steal', params: [], id: 'e2' })}`);
    await eventually('both answers', () => Promise.resolve(requests.length === 4 ? true : undefined));
    expect(requests.slice(2)).toEqual([{ result: ['are you there'], error: null, id: 'e1' }, { result: null, error: 'unknown method', id: 'e2' }]);
  });

  it('does not let a listener that throws hurt it', async () => {
    const client = start({ listener: { changed: () => { throw new Error('a bug'); }, synchronized: (event) => synchronizations.push(event) } });
    await ready(client);
    sockets[0]?.write(notify('update3', ['dfw', AT(2), { T: { [ROW]: { modify: { count: 2 } } } }]));
    await eventually('the update', () => Promise.resolve(client.replica.table('T').get(ROW)?.get('count') === 2 ? true : undefined));
    expect([client.synchronized, synchronizations.length]).toEqual([true, 1]);
  });

  it('rejects what is under way when the connection ends, the time is over, or it is stopped', async () => {
    const client = start();
    await expect(client.transact([comment('x')])).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await ready(client);
    await expect(client.transact([comment('x')], { timeoutMs: 30 })).rejects.toMatchObject({ code: 'E_IO', retryable: true, context: { outcome: 'unknown' } });
    const lost = client.transact([comment('x')]);
    sockets[0]?.destroy();
    await expect(lost).rejects.toMatchObject({ code: 'E_IO', retryable: true, context: { outcome: 'unknown' } });
    await ready(client);
    const stopped = client.transact([comment('x')]).then(() => undefined, (error: unknown) => error);
    await client.stop();
    expect(await stopped).toMatchObject({ code: 'E_CANCELLED', context: { outcome: 'unknown' } });
    await expect(client.transact([comment('x')])).rejects.toMatchObject({ code: 'E_IO' });
    await expect(client.transact([comment('x')], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'E_IO' });
    expect(closings).toHaveLength(1);
  });

  it('pauses longer after every failure, with chance in it, and stops at once while it waits', async () => {
    const pauses: number[] = [];
    const chances = [0, 0.5, 0.999, 0];
    const clock = { ...systemClock, after: (ms: number, action: () => void) => {
      if (ms < 30_000) pauses.push(ms);
      return systemClock.after(ms < 30_000 && pauses.length < 12 ? 0 : ms, action);
    } };
    const client = start({ endpoint: 'unix:/nonexistent/db.sock', clock, random: () => chances.shift() ?? 0 });
    await eventually('twelve attempts', () => Promise.resolve(pauses.length === 12 ? true : undefined));
    expect(pauses.slice(0, 4).map(Math.round)).toEqual([50, 150, 400, 400]);
    expect(pauses.slice(4)).toEqual([800, 1_600, 3_200, 4_000, 4_000, 4_000, 4_000, 4_000]);
    const begun = performance.now();
    await client.stop();
    expect(performance.now() - begun).toBeLessThan(500);
    await expect(client.ready(AbortSignal.timeout(20))).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  it('says at once when the endpoint cannot be one', () => {
    const client = new OvsdbClient({ endpoint: 'db.sock', database: 'db', selection: {}, clock: systemClock, log: silent, random: () => 0, listener: {} });
    expect(() => client.start(new AbortController().signal)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
  });
});

describe('parseEndpoint', () => {
  it('reads what ovsdb(7) writes', () => {
    expect(parseEndpoint('unix:/run/openvswitch/db.sock')).toEqual({ method: 'unix', path: '/run/openvswitch/db.sock', host: '', port: 0 });
    expect(parseEndpoint('tcp:127.0.0.1:6640')).toEqual({ method: 'tcp', path: '', host: '127.0.0.1', port: 6640 });
    expect(parseEndpoint('ssl:[fd00::1]:6641')).toEqual({ method: 'ssl', path: '', host: 'fd00::1', port: 6641 });
    expect(parseEndpoint('tcp:db.example')).toMatchObject({ host: 'db.example', port: 6640 });
  });

  it.each(['', 'unix', 'unix:', '/run/db.sock', 'punix:/x', 'tcp:', 'tcp::6640', 'tcp:h:0', 'tcp:h:65536', 'tcp:h:x', 'tcp:fd00::1:6640', 'http://h'])('refuses %j', (text) => {
    expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ code: 'E_CONFIG', object: text }));
  });
});

describe('readResults', () => {
  const operations = [insertRow('T', {}), comment('x')];
  it('gives one result an operation', () => {
    expect(readResults(operations, [{ uuid: ['uuid', ROW] }, {}])).toEqual([{ uuid: ROW }, {}]);
    expect(readResults([comment('x')], [{}, null])).toEqual([{}]);
  });

  it.each<[unknown, string, string | undefined]>([
    [[{ error: 'constraint violation', details: 'why' }, null], 'E_INVALID', 'operation 0 (insert T)'],
    [[{}, { error: 'timed out' }], 'E_CONFLICT', 'operation 1 (comment)'],
    [[{}, {}, { error: 'I/O error' }], 'E_IO', 'commit'],
    [[{}, {}, { error: 'something new' }], 'E_INVALID', 'commit'],
    [[{}], 'E_PARSE', undefined],
    [[{}, null], 'E_PARSE', undefined],
    [{}, 'E_PARSE', undefined],
    [null, 'E_PARSE', undefined],
  ])('reads %j as %s', (result, code, place) => {
    expect(() => readResults(operations, result)).toThrow(expect.objectContaining({ code, path: place }));
  });
});
