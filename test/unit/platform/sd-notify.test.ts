import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/platform/clock.js';
import { ServiceNotifier } from '../../../src/platform/sd-notify.js';

function set(options: { socket?: string; watchdog?: string; fail?: boolean } = {}) {
  let time = 1000;
  const sent: string[] = [];
  const errors: unknown[] = [];
  const clock: Clock = { now: () => time, monotonic: () => time, after: () => () => undefined };
  const notifier = new ServiceNotifier({
    socket: options.socket,
    watchdogMicroseconds: options.watchdog,
    clock,
    onError: (error) => errors.push(error),
    send: (socket, state) => {
      if (options.fail === true) throw new Error('ECONNREFUSED');
      sent.push(`${socket} ${state}`);
    },
  });
  return { notifier, sent, errors, pass: (ms: number) => { time += ms; } };
}

describe('ServiceNotifier', () => {
  it('sends what sd_notify(3) asks for', () => {
    const { notifier, sent } = set({ socket: '@n' });
    notifier.ready();
    notifier.reloading();
    notifier.status('3 filters,\n 12 rules ');
    notifier.stopping();
    expect(sent).toEqual(['@n READY=1', '@n RELOADING=1\nMONOTONIC_USEC=1000000', '@n STATUS=3 filters, 12 rules', '@n STOPPING=1']);
  });

  it.each([undefined, ''])('is silent without a socket (%j)', (socket) => {
    const { notifier, sent } = set({ ...(socket === undefined ? {} : { socket }), watchdog: '1000000' });
    notifier.ready();
    notifier.alive();
    expect(sent).toEqual([]);
    expect(notifier.watchdogIntervalMs).toBeUndefined();
  });

  it('wants to be fed at half the time systemd waits, and sends no oftener than twice in that', () => {
    const { notifier, sent, pass } = set({ socket: '/n', watchdog: '30000000' });
    expect(notifier.watchdogIntervalMs).toBe(15_000);
    for (let round = 0; round < 31; round++) {
      notifier.alive();
      pass(500);
    }
    expect(sent).toEqual(['/n WATCHDOG=1', '/n WATCHDOG=1', '/n WATCHDOG=1']);
  });

  it.each(['', '0', '-5', 'soon'])('has no watchdog for %j', (watchdog) => {
    const { notifier, sent } = set({ socket: '/n', watchdog });
    notifier.alive();
    expect([notifier.watchdogIntervalMs, sent]).toEqual([undefined, []]);
  });

  it('asks for time while it waits, says for what, and takes that back when it is ready', () => {
    const { notifier, sent, pass } = set({ socket: '/n', watchdog: '30000000' });
    for (const reason of ['etcd: away', 'etcd: away', 'etcd: refused']) {
      notifier.waiting(reason, 60_000);
      pass(10_000);
    }
    notifier.ready();
    notifier.ready();
    const extend = '/n EXTEND_TIMEOUT_USEC=60000000';
    expect(sent).toEqual([
      extend, '/n STATUS=waiting: etcd: away', '/n WATCHDOG=1', extend, '/n WATCHDOG=1', extend, '/n STATUS=waiting: etcd: refused', '/n WATCHDOG=1', '/n READY=1', '/n STATUS=', '/n READY=1',
    ]);
  });

  it('says the same status once', () => {
    const { notifier, sent } = set({ socket: '/n' });
    notifier.status('a');
    notifier.status('a ');
    notifier.status('b');
    expect(sent).toEqual(['/n STATUS=a', '/n STATUS=b']);
  });

  it('reports a datagram that could not be sent and goes on', () => {
    const { notifier, errors } = set({ socket: '/n', fail: true });
    notifier.ready();
    expect(errors).toEqual([new Error('ECONNREFUSED')]);
  });
});
