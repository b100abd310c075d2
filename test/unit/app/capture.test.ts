import { expect, test } from 'vitest';
import { capture, type CaptureRequest } from '../../../src/app/capture.js';
import { AgentError } from '../../../src/model/errors.js';
import type { PacketCapture, PacketCaptureOptions } from '../../../src/native/binding.js';
import { ManualClock } from '../dns/manual-clock.js';

const LINKTYPE_RAW = 101;

class FakeCapture implements PacketCapture {
  stops = 0;
  present = true;
  refused: Error | undefined;
  private listener: ((records: Uint8Array, packets: number) => void) | undefined;
  constructor(readonly options: PacketCaptureOptions) {}
  async start(listener: (records: Uint8Array, packets: number) => void): Promise<number> {
    if (this.refused !== undefined) throw this.refused;
    this.listener = listener;
    return LINKTYPE_RAW;
  }
  stop(): void {
    this.stops += 1;
  }
  attached(): boolean {
    return this.present;
  }
  lost(): number {
    return 0;
  }
  /** Packets whose bytes are their numbers, in one batch. */
  packets(...numbers: number[]): void {
    this.listener?.(Buffer.concat(numbers.map(record)), numbers.length);
  }
}

function record(number: number): Uint8Array {
  const bytes = new Uint8Array(16 + number).fill(number, 16);
  new DataView(bytes.buffer).setUint32(8, number, true);
  return bytes;
}

function harness(request: Partial<CaptureRequest> = {}, refused?: Error) {
  const clock = new ManualClock();
  const abort = new AbortController();
  const sources: FakeCapture[] = [];
  const stream = capture({ interface: 'tap7', ...request }, {
    clock,
    open: (options) => {
      const source = new FakeCapture(options);
      source.refused = refused;
      sources.push(source);
      return source;
    },
  }, abort.signal);
  const rest = async (): Promise<Buffer> => {
    const all: Uint8Array[] = [];
    for await (const chunk of stream) all.push(chunk);
    return Buffer.concat(all);
  };
  const source = (): FakeCapture => {
    const [only] = sources;
    if (only === undefined || sources.length > 1) throw new Error(`${sources.length} captures were opened`);
    return only;
  };
  /** What was opened is closed, once, and no timer runs. */
  const over = (): void => expect([source().stops, clock.pending]).toEqual([1, 0]);
  return { clock, abort, stream, rest, source, over };
}

test('the header tells version, length limit and link type; packets follow as they came', async () => {
  const { stream, source, rest, over, abort } = harness({ snaplen: 96, expression: 'tcp' });
  const header = Buffer.from((await stream.next()).value as Uint8Array);
  expect(source().options).toEqual({ interface: 'tap7', snaplen: 96, filter: 'tcp' });
  expect([header.readUInt32LE(0), header.readUInt16LE(4), header.readUInt16LE(6), header.readUInt32LE(16), header.readUInt32LE(20)]).toEqual([0xa1b2c3d4, 2, 4, 96, LINKTYPE_RAW]);
  source().packets(1, 2);
  source().packets(3);
  abort.abort();
  expect(await rest()).toEqual(Buffer.concat([record(1), record(2), record(3)]));
  over();
});

test('count ends it in the middle of a batch', async () => {
  const { stream, source, rest, over } = harness({ count: 3 });
  await stream.next();
  source().packets(1, 2);
  source().packets(3, 4, 5);
  source().packets(6);
  expect(await rest()).toEqual(Buffer.concat([record(1), record(2), record(3)]));
  over();
});

test('seconds end it, with or without packets', async () => {
  const { stream, clock, rest, over } = harness({ seconds: 3 });
  await stream.next();
  const end = rest();
  clock.move(3_000);
  expect(await end).toHaveLength(0);
  over();
});

test('a signal that fired before leaves an empty file', async () => {
  const { abort, rest, over } = harness();
  abort.abort();
  expect(await rest()).toHaveLength(24);
  over();
});

test('a reader that leaves closes what was opened', async () => {
  const { stream, over } = harness();
  await stream.next();
  expect(await stream.return(undefined)).toEqual({ done: true, value: undefined });
  over();
});

test('a slow reader is sent what was taken for it, and no more than 32 MB wait', async () => {
  const { stream, source, abort, over } = harness();
  await stream.next();
  for (let megabytes = 0; megabytes < 50; megabytes += 1) source().packets(2 ** 20 - 16);
  abort.abort();
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  expect(bytes).toBe(33 * 2 ** 20);
  over();
});

test('an interface that goes is the end, with an error that comes after its packets', async () => {
  const { stream, source, clock, over } = harness();
  await stream.next();
  source().packets(1);
  source().present = false;
  clock.move(500);
  expect((await stream.next()).value).toHaveLength(17);
  await expect(stream.next()).rejects.toMatchObject({ code: 'E_NOT_FOUND', object: 'tap7', retryable: true });
  over();
});

test('what was complete before the interface went is no failure', async () => {
  const { stream, source, clock, rest, over } = harness({ count: 1 });
  await stream.next();
  source().packets(1);
  source().present = false;
  clock.move(500);
  expect(await rest()).toHaveLength(17);
  over();
});

test.each([
  ['pcap_compile', 'EINVAL', 'E_USAGE', false],
  ['pcap_activate', 'ENODEV', 'E_NOT_FOUND', true],
  ['pcap_activate', 'ENETDOWN', 'E_KERNEL', true],
])('%s %s is %s', async (syscall, name, code, retryable) => {
  const { stream, over } = harness({}, Object.assign(new Error(`${syscall}: ${name}`), { syscall, code: name }));
  const error: unknown = await stream.next().catch((reason: unknown) => reason);
  if (!(error instanceof AgentError)) throw new Error('no AgentError');
  expect([error.code, error.retryable, error.object]).toEqual([code, retryable, 'tap7']);
  over();
});

test('options that are refused at once are wrong use', async () => {
  const stream = capture({ interface: 'tap7', expression: 'x'.repeat(9_000) }, {
    clock: new ManualClock(),
    open: () => {
      throw new Error('filter is too long');
    },
  }, new AbortController().signal);
  await expect(stream.next()).rejects.toMatchObject({ code: 'E_USAGE', message: 'cannot capture: filter is too long' });
});
