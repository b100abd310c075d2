import { describe, expect, it } from 'vitest';
import type { CniInterface } from '../../../src/api/cni-messages.js';
import { CniService } from '../../../src/app/cni-service.js';
import { CniAttachments } from '../../../src/discovery/cni-attachments.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const container: CniInterface = { network: 'pods', containerId: 'c', vnic: 'eth0', pod: { namespace: 'n', name: 'p' }, interface: 'veth1', addresses: [] };
const add = (timeoutMs = 1_000): { command: 'ADD'; interface: CniInterface; timeoutMs: number } => ({ command: 'ADD', interface: container, timeoutMs });
const never = new AbortController().signal;

/** An agent whose applies are the test's. */
class Bench {
  time = 0;
  applies = 0;
  name: 'nftables' | 'ovs' = 'nftables';
  attached = false;
  store: () => Promise<void> = () => Promise.resolve();
  /** What an apply does. */
  apply: () => Promise<void> = () => {
    this.inForce = [...this.containers.snapshot().objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [object] : []));
    return Promise.resolve();
  };
  inForce: readonly { readonly interface: string; readonly workload: { readonly kind: string; readonly namespace?: string; readonly name: string } }[] | undefined;
  private readonly clock = {
    now: () => this.time, monotonic: () => this.time,
    after: (ms: number, action: () => void) => {
      setImmediate(() => {
        this.time += ms;
        action();
      });
      return () => undefined;
    },
  };
  readonly containers = new CniAttachments({
    store: { read: () => undefined, write: () => this.store() }, declared: () => [], interfaces: () => Promise.resolve(new Set<string>()), clock: { ...this.clock, after: () => () => undefined }, log: silent,
  });
  readonly service = new CniService({
    containers: this.containers, clock: this.clock,
    datapath: { realized: undefined, linksChanged: () => undefined },
    loop: {
      flush: async () => {
        this.applies += 1;
        await this.apply();
      },
    },
    enforcement: { name: 'nftables', attached: () => this.attached, settled: () => Promise.resolve() },
  });

  constructor() {
    const options = Reflect.get(this.service, 'options') as { datapath: object; enforcement: object };
    Object.defineProperty(options.datapath, 'realized', { get: () => (this.inForce === undefined ? undefined : { world: { filters: this.inForce } }) });
    Object.defineProperty(options.enforcement, 'name', { get: () => this.name });
  }
}

describe('ADD', () => {
  it('is answered when the filter is in force and stored, whichever is later', async () => {
    const bench = new Bench();
    await bench.containers.start(never);
    const done: string[] = [];
    let written: () => void = () => undefined;
    bench.store = () => new Promise((resolve) => {
      written = resolve;
    });
    const apply = bench.apply;
    bench.apply = async () => {
      await apply();
      done.push('applied');
    };
    const added = bench.service.handle(add(), never).then(() => done.push('answered'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(done).toEqual(['applied']);
    written();
    await added;
    expect([done, bench.applies]).toEqual([['applied', 'answered'], 1]);
  });

  it('tries again while there is time, and then says why not', async () => {
    const bench = new Bench();
    await bench.containers.start(never);
    const apply = bench.apply;
    bench.apply = async () => (bench.applies < 3 ? Promise.reject(new Error('EBUSY')) : apply());
    await bench.service.handle(add(), never);
    expect(bench.applies).toBe(3);
    bench.apply = () => Promise.reject(new Error('EBUSY'));
    await expect(bench.service.handle(add(), never)).rejects.toMatchObject({ code: 'E_UNREACHABLE', message: 'EBUSY', retryable: true });
  });

  it('is refused where another workload has the interface, and cannot be stored', async () => {
    const bench = new Bench();
    await bench.containers.start(never);
    bench.apply = () => {
      bench.inForce = [{ interface: 'veth1', workload: { kind: 'Pod', namespace: 'n', name: 'other' } }];
      return Promise.resolve();
    };
    await expect(bench.service.handle(add(), never)).rejects.toMatchObject({ code: 'E_UNREACHABLE', message: 'no filter of veth1 is in force' });
    bench.store = () => Promise.reject(new Error('disk full'));
    await bench.containers.add({ ...container, containerId: 'd' }).catch(() => undefined);
    await expect(bench.service.handle({ ...add(), interface: { ...container, containerId: 'e' } }, never)).rejects.toMatchObject({ code: 'E_IO' });
  });

  it('waits for the port of a switch', async () => {
    const bench = new Bench();
    await bench.containers.start(never);
    bench.name = 'ovs';
    const apply = bench.apply;
    bench.apply = async () => {
      bench.attached = bench.applies > 2;
      await apply();
    };
    await bench.service.handle(add(), never);
    expect(bench.applies).toBe(3);
    bench.apply = () => {
      bench.attached = false;
      return Promise.resolve();
    };
    await expect(bench.service.handle(add(), never)).rejects.toMatchObject({ message: 'the switch has no port veth1' });
  });

  it('ends when the plugin goes away', async () => {
    const bench = new Bench();
    await bench.containers.start(never);
    bench.apply = () => Promise.reject(new Error('EBUSY'));
    await expect(bench.service.handle(add(600_000), AbortSignal.abort())).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });
});

it('CHECK, DEL and STATUS say what is so', async () => {
  const bench = new Bench();
  await bench.containers.start(never);
  await expect(bench.service.handle({ command: 'STATUS' }, never)).rejects.toMatchObject({ retryable: true });
  await bench.service.handle(add(), never);
  await bench.service.handle({ command: 'STATUS' }, never);
  const check = { ...add(), command: 'CHECK' } as const;
  await bench.service.handle(check, never);
  bench.inForce = [];
  await expect(bench.service.handle(check, never)).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
  await bench.service.handle({ command: 'DEL', key: container }, never);
  await bench.service.handle({ command: 'DEL', key: container }, never);
  await expect(bench.service.handle(check, never)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});
