import { expect, it } from 'vitest';
import { StartWait } from '../../../src/app/start-wait.js';
import { ServiceNotifier } from '../../../src/platform/sd-notify.js';
import { ManualClock } from '../dns/manual-clock.js';

function waits() {
  const clock = new ManualClock();
  const said: string[] = [];
  const notifier = new ServiceNotifier({ socket: '/n', watchdogMicroseconds: undefined, clock, send: (_socket, state) => said.push(state), onError: (error) => { throw error; } });
  return { clock, said, wait: new StartWait(notifier, clock) };
}

it('tells again and again, before the time it asked for is over, until the work has ended', async () => {
  const { clock, said, wait } = waits();
  let finish: (value: string) => void = () => undefined;
  let reason = 'etcd: connection refused';
  const waiting = wait.during(new Promise<string>((resolve) => { finish = resolve; }), () => reason);
  clock.move(900);
  expect(said).toEqual([]);
  clock.move(200);
  expect(said).toEqual(['EXTEND_TIMEOUT_USEC=60000000', 'STATUS=waiting: etcd: connection refused']);
  reason = 'etcd: no leader';
  // Ten minutes, in which a start of three would have been given up.
  for (let minute = 0; minute < 12; minute += 1) {
    const before = said.length;
    clock.move(50_000);
    expect(said.slice(before)).toContain('EXTEND_TIMEOUT_USEC=60000000');
  }
  expect(said.filter((state) => state.startsWith('STATUS'))).toEqual(['STATUS=waiting: etcd: connection refused', 'STATUS=waiting: etcd: no leader']);
  finish('read');
  expect(await waiting).toBe('read');
  const { length } = said;
  clock.move(600_000);
  expect(said).toHaveLength(length);
});

it('ends with the work also where that fails', async () => {
  const { clock, said, wait } = waits();
  await expect(wait.during(Promise.reject(new Error('no')), () => '')).rejects.toThrow('no');
  clock.move(600_000);
  expect(said).toEqual([]);
});
