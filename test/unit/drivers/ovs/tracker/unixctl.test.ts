import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReplyStream } from '../../../../../src/drivers/ovs/tracker/reply-stream.js';
import { UnixctlClient } from '../../../../../src/drivers/ovs/tracker/unixctl.js';
import { AgentError } from '../../../../../src/model/errors.js';
import { systemClock } from '../../../../../src/platform/clock.js';
import { Cleanup } from '../../../../support/cleanup.js';

function read(bytes: Uint8Array, cuts: readonly number[] = []): { text: string; refusal: string | undefined; done: boolean } {
  const parts: Uint8Array[] = [];
  const stream = new ReplyStream((piece) => parts.push(Uint8Array.from(piece)), 'peer');
  let begin = 0;
  for (const place of [...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((left, right) => left - right), bytes.length]) {
    stream.push(bytes.subarray(begin, place));
    begin = place;
  }
  return { text: Buffer.concat(parts).toString('utf8'), refusal: stream.refusal, done: stream.done };
}

const text = fc.string({ unit: fc.oneof(fc.constantFrom('"', '\\', '\n', '\t', '/', '\u0001', 'u', 'ä', '𝄞'), fc.string({ minLength: 1, maxLength: 1, unit: 'grapheme' })), maxLength: 40 });
const cuts = fc.array(fc.nat(1_000), { maxLength: 6 });
const letters = (value: string): string => value.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

describe('ReplyStream', () => {
  it('hands on just the text of the result, whatever it holds, however it is escaped, wherever it is cut', () => {
    fc.assert(
      fc.property(text, cuts, fc.boolean(), fc.constantFrom('', '  '), fc.constantFrom(0, 1, 2), (result, places, escaped, space, order) => {
        const members = [['id', 0], ['result', result], ['error', null]];
        const json = JSON.stringify(Object.fromEntries([...members.slice(order), ...members.slice(0, order)]), undefined, space);
        expect(read(Buffer.from(escaped ? letters(json) : json), places)).toEqual({ text: result, refusal: undefined, done: true });
      }),
      { numRuns: 500 },
    );
  });

  it('knows a refusal, also an empty one, and an empty result', () => {
    expect(read(Buffer.from('{"id":0,"error":"\\"x\\" is not a valid command\\n"}'))).toEqual({ text: '', refusal: '"x" is not a valid command', done: true });
    expect(read(Buffer.from('{"id":0,"error":"","result":null}'))).toEqual({ text: '', refusal: '', done: true });
    expect(read(Buffer.from('{"id":0,"result":null,"error":null}\n'))).toEqual({ text: '', refusal: undefined, done: true });
  });

  it('makes a replacement character of half a pair, which is no text', () => {
    const result = (escapes: string): string => read(Buffer.from(`{"result":"${escapes}"}`)).text;
    expect([result('\\ud834\\udd1e'), result('\\ud834\\udd1e\\udd1e'), result('\\ud834x\\udd1e')]).toEqual(['𝄞', '𝄞\ufffd', 'x\ufffd']);
  });

  it('ends in a text or an AgentError, whatever comes, and is done only at the end', () => {
    const anything = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.string({ unit: fc.constantFrom('{', '}', '"', '\\', 'u', 'r', ':', ',', 'result', 'd8', ' ', '[', '0'), maxLength: 30 }).map((value) => new Uint8Array(Buffer.from(value))));
    fc.assert(
      fc.property(anything, cuts, (bytes, places) => {
        try {
          expect(typeof read(bytes, places).text).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError);
        }
      }),
      { numRuns: 1_000 },
    );
    const whole = Buffer.from('{"id":0,"result":"abc","error":null}');
    for (let length = 0; length < whole.length; length++) expect(read(whole.subarray(0, length)).done).toBe(false);
  });

  it.each(['[', '{"result":{"a":1}}', '{"result":["a"]}', '{"result":"a"}x', '{"a"x', '{"result":"\\q"}', '{"result":"\\u12g4"}', `{"${'k'.repeat(100)}":1}`, '{,'])('refuses %j', (bytes) => {
    expect(() => read(Buffer.from(bytes))).toThrow(expect.objectContaining({ code: 'E_PARSE', object: 'peer' }));
  });
});

describe('UnixctlClient', () => {
  const cleanup = new Cleanup();
  let directory = '';
  let client: UnixctlClient;
  let answer: (socket: Socket, request: string) => void;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dfwt-ctl-'));
    cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    await writeFile(path.join(directory, 'ovs-vswitchd.pid'), '4711\n');
    client = new UnixctlClient({ directory, program: 'ovs-vswitchd', clock: systemClock });
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => answer(socket, chunk.toString()));
    });
    await new Promise<void>((resolve) => server.listen(path.join(directory, 'ovs-vswitchd.4711.ctl'), resolve));
    cleanup.defer('server', () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  });
  afterEach(() => cleanup.run());

  it('asks with arguments and gives the answer', async () => {
    answer = (socket, request) => socket.write(JSON.stringify({ id: 0, result: `asked ${request}`, error: null }));
    expect(await client.call('dpctl/x', ['-m', 'zone=7'])).toBe('asked {"id":0,"method":"dpctl/x","params":["-m","zone=7"]}');
  });

  it('says what the daemon refuses', async () => {
    answer = (socket) => socket.write('{"id":0,"error":"no such thing\\n"}');
    await expect(client.call('nix', [])).rejects.toMatchObject({ code: 'E_INVALID', retryable: false, message: '"nix" was refused: no such thing' });
  });

  it('bounds time and length, and ends with the signal', async () => {
    answer = () => undefined;
    await expect(client.call('x', [], { timeoutMs: 50 })).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await expect(client.call('x', [], { signal: AbortSignal.timeout(30) })).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await expect(client.call('x', [], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'E_CANCELLED' });
    answer = (socket) => socket.write(JSON.stringify({ result: 'x'.repeat(1_000) }));
    await expect(client.call('x', [], { longest: 999 })).rejects.toMatchObject({ code: 'E_LIMIT' });
    expect(await client.call('x', [], { longest: 1_000 })).toHaveLength(1_000);
  });

  it('notices a daemon that ends, talks nonsense, or was not there', async () => {
    answer = (socket) => socket.end('{"id":0,"result":"half');
    await expect(client.call('x', [])).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    answer = (socket) => socket.write('HTTP/1.1 400 Bad Request');
    await expect(client.call('x', [])).rejects.toMatchObject({ code: 'E_PARSE' });
    await writeFile(path.join(directory, 'ovs-vswitchd.pid'), '4712\n');
    await expect(client.call('x', [])).rejects.toMatchObject({ code: 'E_IO', retryable: true, message: '"x": it does not run' });
    await writeFile(path.join(directory, 'ovs-vswitchd.pid'), '../x\n');
    await expect(client.call('x', [])).rejects.toMatchObject({ code: 'E_IO', retryable: true });
    await rm(path.join(directory, 'ovs-vswitchd.pid'));
    await expect(client.call('x', [])).rejects.toMatchObject({ code: 'E_IO', retryable: true });
  });

  it('ends with the error of whoever takes the answer', async () => {
    answer = (socket) => socket.write(JSON.stringify({ result: 'x' }));
    const error = new Error('full');
    await expect(client.stream('x', [], () => { throw error; })).rejects.toBe(error);
  });
});
