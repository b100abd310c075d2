import { createServer, type Server, type ServerResponse } from 'node:http';
import { createSocket } from 'node:dgram';
import { createServer as createTcp, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { Courier, type CourierLimits, type Delivery } from '../../../../src/drivers/sinks/courier.js';
import { HttpDelivery } from '../../../../src/drivers/sinks/http-delivery.js';
import { alertRecord, asciiJson, isFor } from '../../../../src/drivers/sinks/sink.js';
import { StreamDelivery, UdpDelivery, UnixDelivery } from '../../../../src/drivers/sinks/syslog-deliveries.js';
import { octetCounted, syslogMessage } from '../../../../src/drivers/sinks/syslog-message.js';
import type { AlertView } from '../../../../src/model/views.js';
import { systemClock } from '../../../../src/platform/clock.js';

const alert: AlertView = {
  id: 'a1', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 7, signature: 'bad \u00fc\n', category: 'c', severity: 1, action: 'allowed', protocol: 'tcp',
  source: { address: '10.0.0.1', port: 1 }, destination: { address: '10.0.0.2', port: 2 }, workload: { kind: 'Pod', namespace: 'default', name: 'web' }, labels: { app: 'web' },
};

describe('selection', () => {
  test('by severity and labels; an alert of no workload has no labels to match', () => {
    const { workload: _, ...nobodys } = alert;
    const web = { matchLabels: { app: 'web' }, matchExpressions: [] };
    const everybody = { matchLabels: {}, matchExpressions: [] };
    expect(isFor({}, nobodys)).toBe(true);
    expect(isFor({ severity: 1 }, alert)).toBe(true);
    expect(isFor({ severity: 1 }, { ...alert, severity: 2 })).toBe(false);
    expect(isFor({ selector: web }, alert)).toBe(true);
    expect(isFor({ selector: web }, { ...alert, labels: { app: 'db' } })).toBe(false);
    expect(isFor({ selector: everybody }, nobodys)).toBe(false);
  });
});

describe('syslog messages', () => {
  test('RFC 5424 header and an ASCII message without control characters', () => {
    const message = syslogMessage(alert, 'alert', { facility: 'local0', hostName: 'host 1', processId: 42 });
    const [head = '', json = ''] = message.split(' - ');
    expect(head).toBe('<130>1 2026-01-02T03:04:05.678Z host_1 dfw-agent 42 ALERT');
    expect(JSON.parse(json)).toEqual({ ...alert, count: 1, last: alert.timestamp, event: 'alert', node: 'host 1' });
    expect(message).toMatch(/^[\x20-\x7e]*$/);
    expect(syslogMessage({ ...alert, severity: 9 }, 'summary', { facility: 'auth', hostName: '', processId: 1 })).toMatch(/^<37>1 \S+ - dfw-agent 1 SUMMARY - \{/);
  });

  test('a stream of frames can be taken apart again, whatever is in the messages', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
      const messages = texts.map((text) => asciiJson({ text }));
      let stream = messages.map(octetCounted).join('');
      const found: string[] = [];
      while (stream !== '') {
        const [digits = ''] = /^[1-9]\d* /.exec(stream) ?? [];
        const length = Number(digits);
        expect(length).toBeGreaterThan(0);
        found.push(stream.slice(digits.length, digits.length + length));
        stream = stream.slice(digits.length + length);
      }
      expect(found).toEqual(messages);
      expect(found.map((each): unknown => JSON.parse(each))).toEqual(texts.map((text) => ({ text })));
    }));
  });
});

/** Takes, refuses, fails or hangs as told, the last one from then on. */
class ScriptedDelivery implements Delivery {
  readonly got: string[][] = [];
  attempts = 0;
  constructor(readonly batch: number, private readonly script: ('take' | 'refuse' | 'fail' | 'hang')[]) {}

  async deliver(items: readonly string[]): ReturnType<Delivery['deliver']> {
    this.attempts += 1;
    const step = (this.script.length > 1 ? this.script.shift() : this.script[0]) ?? 'take';
    if (step === 'fail') throw new Error('connection refused');
    if (step === 'hang') return new Promise(() => undefined);
    if (step === 'refuse') return { outcome: 'refused', reason: 'status 400' };
    this.got.push([...items]);
    return { outcome: 'taken' };
  }

  close(): void {
    // Nothing to let go of.
  }
}

describe('Courier', () => {
  const couriers: Courier[] = [];
  afterEach(async () => {
    for (const courier of couriers.splice(0)) await courier.stop();
  });
  function run(delivery: Delivery, limits: CourierLimits = {}): Courier {
    const courier = new Courier(delivery, { firstPauseMs: 1, lastPauseMs: 2, timeoutMs: 30, ...limits }, systemClock);
    couriers.push(courier);
    courier.start(new AbortController().signal);
    return courier;
  }
  const settled = async (courier: Courier): Promise<void> => {
    await expect.poll(() => courier.status().pending, { timeout: 5_000 }).toBe(0);
  };

  test('in order and in batches, each item once, also after failures and time-outs', async () => {
    const delivery = new ScriptedDelivery(3, ['fail', 'hang', 'take']);
    const courier = run(delivery);
    const items = Array.from({ length: 10 }, (_, index) => String(index));
    for (const item of items) expect(courier.offer(item)).toBe(true);
    await settled(courier);
    expect(delivery.got.flat()).toEqual(items);
    expect(delivery.got.every((batch) => batch.length <= 3)).toBe(true);
    expect(courier.status()).toEqual({ working: true, reason: '', sent: 10, failed: 2, dropped: 0, pending: 0 });
  });

  test('what is refused for good is dropped, and the rest goes on', async () => {
    const delivery = new ScriptedDelivery(1, ['take', 'refuse', 'take']);
    const courier = run(delivery);
    for (const item of ['a', 'b', 'c']) courier.offer(item);
    await settled(courier);
    expect(delivery.got).toEqual([['a'], ['c']]);
    expect(courier.status()).toMatchObject({ sent: 2, failed: 1, dropped: 1, working: true });
  });

  test('the queue is bounded by items and by size: the newest give way, counted', () => {
    const byItems = new Courier(new ScriptedDelivery(1, ['fail']), { items: 3 }, systemClock);
    expect(['a', 'b', 'c', 'd', 'e'].map((item) => byItems.offer(item))).toEqual([true, true, true, false, false]);
    const bySize = new Courier(new ScriptedDelivery(1, ['fail']), { size: 10 }, systemClock);
    expect(['12345', '67890', 'x'].map((item) => bySize.offer(item))).toEqual([true, true, false]);
    expect([byItems.status(), bySize.status()]).toMatchObject([{ pending: 3, dropped: 2 }, { pending: 2, dropped: 1 }]);
  });

  test('sent, dropped and pending add up to what was offered, whatever the other side does', async () => {
    await fc.assert(fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }), fc.array(fc.constantFrom('take' as const, 'refuse' as const, 'fail' as const), { maxLength: 12 }), fc.integer({ min: 0, max: 30 }),
      async (batch, script, count) => {
        const delivery = new ScriptedDelivery(batch, [...script, 'take']);
        const courier = run(delivery, { items: 20 });
        for (let n = 0; n < count; n += 1) courier.offer(String(n));
        await courier.stop();
        const { sent, dropped, pending } = courier.status();
        expect(sent + dropped + pending).toBe(count);
        expect(delivery.got.flat()).toHaveLength(sent);
      },
    ), { numRuns: 60 });
  });

  test('a sink that hangs ends with the agent all the same, and says what it lost', async () => {
    const courier = run(new ScriptedDelivery(2, ['hang']), { timeoutMs: 60_000 });
    for (const item of ['a', 'b', 'c']) courier.offer(item);
    const began = performance.now();
    await courier.stop();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(courier.status()).toMatchObject({ sent: 0, dropped: 3, pending: 0 });
  });
});

describe('deliveries to real servers', () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
  });
  const listening = async (server: Server | TcpServer): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(server);
    return (server.address() as AddressInfo).port;
  };
  const signal = (): AbortSignal => AbortSignal.timeout(5_000);

  test('HTTP: a JSON array; later for what may change, refused for what will not, never a redirect followed', async () => {
    const bodies: unknown[] = [];
    const answers: ((response: ServerResponse) => void)[] = [200, 503, 429, 400, 302].map((status) => (response) => void response.writeHead(status, { location: '/elsewhere' }).end('x'));
    const port = await listening(createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => void (text += chunk.toString()));
      request.on('end', () => {
        bodies.push([request.method, request.url, request.headers['content-type'], request.headers['x-key'], JSON.parse(text)]);
        answers.shift()?.(response);
      });
    }));
    const delivery = new HttpDelivery({ url: `http://127.0.0.1:${port}/dfw.alerts`, batch: 10, headers: { 'x-key': 'secret' } });
    const items = [JSON.stringify(alertRecord(alert, 'alert', 'n1')), '{"b":2}'];
    expect(await delivery.deliver(items, signal())).toEqual({ outcome: 'taken' });
    await expect(delivery.deliver(items, signal())).rejects.toThrow('503');
    await expect(delivery.deliver(items, signal())).rejects.toThrow('429');
    expect(await delivery.deliver(items, signal())).toMatchObject({ outcome: 'refused' });
    expect(await delivery.deliver(items, signal())).toMatchObject({ outcome: 'refused' });
    expect(bodies).toHaveLength(5);
    expect(bodies[0]).toEqual(['POST', '/dfw.alerts', 'application/json', 'secret', items.map((item): unknown => JSON.parse(item))]);
  });

  test('HTTP: a server that never answers is given up with the signal', async () => {
    const port = await listening(createServer(() => undefined));
    const delivery = new HttpDelivery({ url: `http://127.0.0.1:${port}/`, batch: 1, headers: {} });
    await expect(delivery.deliver(['{}'], AbortSignal.timeout(50))).rejects.toThrow();
  });

  test('TCP: frames by octet counting, a new connection after the server ended the last', async () => {
    let received = '';
    const sockets: Socket[] = [];
    const port = await listening(createTcp((socket) => {
      sockets.push(socket);
      socket.on('data', (chunk) => void (received += chunk.toString('latin1')));
      socket.on('error', () => undefined);
    }));
    const delivery = new StreamDelivery({ host: '127.0.0.1', port });
    open.push(delivery);
    await delivery.deliver(['first', 'second one'], signal());
    await expect.poll(() => received).toBe('5 first10 second one');
    sockets[0]?.end();
    // Noticed before the next message, so that it is not lost in the old connection.
    await expect.poll(() => sockets[0]?.destroyed, { timeout: 5_000 }).toBe(true);
    await delivery.deliver(['third'], signal());
    await expect.poll(() => received).toBe('5 first10 second one5 third');
    expect(sockets).toHaveLength(2);
    for (const socket of sockets) socket.destroy();
  });

  test('TCP: nobody there is a failure that may be tried again', async () => {
    const server = createTcp();
    const port = await listening(server);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await expect(new StreamDelivery({ host: '127.0.0.1', port }).deliver(['x'], signal())).rejects.toMatchObject({ code: 'E_IO', retryable: true });
  });

  test('UDP: one datagram a message', async () => {
    const got: string[] = [];
    const socket = createSocket('udp4');
    open.push(socket);
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    socket.on('message', (message) => got.push(message.toString()));
    const delivery = new UdpDelivery('127.0.0.1', socket.address().port);
    await delivery.deliver(['one']);
    await delivery.deliver(['two']);
    await expect.poll(() => got).toEqual(['one', 'two']);
    expect(await delivery.deliver(['x'.repeat(70_000)])).toMatchObject({ outcome: 'refused' });
    delivery.close();
  });

  test('unix: what the kernel refuses is a failure that may be tried again', async () => {
    const sent: string[] = [];
    expect(await new UnixDelivery('/dev/log', (path, text) => void sent.push(`${path} ${text}`)).deliver(['m'])).toEqual({ outcome: 'taken' });
    expect(sent).toEqual(['/dev/log m']);
    const refusing = new UnixDelivery('/dev/log', () => {
      throw new Error('sendto: EAGAIN');
    });
    await expect(refusing.deliver(['m'])).rejects.toMatchObject({ code: 'E_IO', retryable: true, object: '/dev/log' });
  });
});
