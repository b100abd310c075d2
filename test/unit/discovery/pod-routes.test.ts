import { describe, expect, it } from 'vitest';
import { PodRoutes } from '../../../src/discovery/pod-routes.js';
import type { HostLink, PodNeighbour, PodPort, PodWay } from '../../../src/discovery/pod-places.js';
import { objectKey, type DesiredObject, type PodObject } from '../../../src/model/objects.js';
import type { Clock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const pod = (name: string, over: Partial<PodObject> = {}): PodObject => ({
  kind: 'Pod', metadata: { name, namespace: 'n', labels: {} }, nodeName: 'host-1', addresses: [`10.0.0.${name}`], ports: [], ...over,
});
const declared = (name: string, device: string): DesiredObject => ({
  kind: 'Attachment', metadata: { name: `own-${name}`, labels: {} }, workload: { kind: 'Pod', namespace: 'n', name }, vnic: 'eth0', interface: device, addresses: [],
});
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** A host where 10.0.0.N is routed to vethN, and the other sources. */
class Bench {
  readonly links = new Map<number, HostLink>();
  objects: ReadonlyMap<string, DesiredObject> = new Map();
  synced = true;
  text: string | undefined;
  failing = false;
  lookups = 0;
  time = 0;
  readonly timers = new Map<() => void, number>();
  private readonly listeners = new Set<() => void>();
  private tell: (what: 'routes' | 'neighbours' | 'links') => void = () => undefined;
  readonly clock: Clock = {
    now: () => this.time, monotonic: () => this.time,
    after: (ms, action) => {
      this.timers.set(action, ms);
      return () => this.timers.delete(action);
    },
  };

  plug(...numbers: readonly number[]): void {
    for (const index of numbers) this.links.set(index, { index, name: `veth${index}`, mac: `m${index}`, kind: 'veth', master: 0 });
  }

  discovery(): PodRoutes {
    return new PodRoutes({
      node: 'host-1', clock: this.clock, log: silent,
      reader: {
        lookup: async (addresses): Promise<PodWay[]> => {
          this.lookups += 1;
          await turns();
          if (this.failing) throw new Error('EPERM');
          return addresses.map((address) => {
            const index = Number(address.split('.')[3]);
            return this.links.has(index) ? { kind: 'direct', interfaceIndex: index, prefixLength: 32 } : { kind: 'none', interfaceIndex: 0, prefixLength: 0 };
          });
        },
        neighbours: async (): Promise<PodNeighbour[]> => Promise.resolve([]),
        forwarding: async (): Promise<PodPort[]> => Promise.resolve([]),
        links: async (): Promise<HostLink[]> => Promise.resolve([...this.links.values()]),
        monitor: (listener) => {
          this.tell = listener;
        },
        close: () => {
          this.tell = () => undefined;
        },
      },
      sources: [{
        get synced() {
          return bench.synced;
        },
        snapshot: () => ({ objects: this.objects }),
        onChange: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      }],
      store: {
        read: () => this.text,
        write: async (text) => {
          this.text = text;
          return Promise.resolve();
        },
      },
    });
  }

  hold(...objects: readonly DesiredObject[]): void {
    this.objects = new Map(objects.map((object) => [objectKey(object), object]));
    for (const listener of this.listeners) listener();
  }

  say(what: 'routes' | 'neighbours' | 'links'): void {
    this.tell(what);
  }

  async event(what: 'routes' | 'neighbours' | 'links'): Promise<void> {
    this.say(what);
    await this.fire();
  }

  /** Lets all timers pass. */
  async fire(): Promise<void> {
    const due = Array.from(this.timers.keys());
    for (const action of due) {
      this.timers.delete(action);
      action();
    }
    for (let turn = 0; turn < 4; turn += 1) await turns();
  }

  get listening(): number {
    return this.listeners.size;
  }
}
let bench = new Bench();
const fresh = (): Bench => {
  bench = new Bench();
  return bench;
};
const never = new AbortController().signal;
const interfaces = (discovery: PodRoutes): string[] => [...discovery.snapshot().objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [`${object.workload.name}=${object.interface}`] : [])).sort();

describe('discovery of pods', () => {
  it('finds this node\'s pods, and no others', async () => {
    fresh().plug(2, 3, 4, 5, 6);
    bench.hold(pod('2'), pod('3', { nodeName: 'host-2' }), pod('4', { hostNetwork: true, addresses: [] }), pod('5', { addresses: [] }), pod('6'), declared('6', 'elsewhere'));
    const discovery = bench.discovery();
    await discovery.start(never);
    expect([discovery.synced, interfaces(discovery), discovery.problems]).toEqual([true, ['2=veth2'], []]);
    expect(discovery.snapshot().manifests.get('Attachment/pod-n.2')).toEqual({
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'pod-n.2' }, spec: { workload: { kind: 'Pod', namespace: 'n', name: '2' }, vnic: 'eth0', interface: 'veth2' },
    });
    await discovery.stop();
    expect([bench.listening, bench.timers.size]).toEqual([0, 0]);
  });

  it('follows pods, interfaces and declared Attachments, and tells of changes only', async () => {
    fresh().plug(2);
    bench.hold(pod('2'), pod('3'));
    const discovery = bench.discovery();
    await discovery.start(never);
    let told = 0;
    discovery.onChange(() => {
      told += 1;
    });
    expect([interfaces(discovery), discovery.problems.length]).toEqual([['2=veth2'], 1]);
    const kept = discovery.snapshot().objects.get('Attachment/pod-n.2');
    await bench.event('neighbours');
    expect(told).toBe(0);
    bench.plug(3);
    await bench.event('routes');
    expect([told, interfaces(discovery), discovery.problems]).toEqual([1, ['2=veth2', '3=veth3'], []]);
    expect(discovery.snapshot().objects.get('Attachment/pod-n.2')).toBe(kept);
    bench.hold(pod('2'), pod('3'), declared('x', 'veth2'));
    expect(interfaces(discovery)).toEqual(['3=veth3']);
    bench.hold(pod('2'), pod('3'));
    expect(interfaces(discovery)).toEqual(['2=veth2', '3=veth3']);
    bench.links.delete(2);
    await bench.event('links');
    expect(interfaces(discovery)).toEqual(['3=veth3']);
    bench.hold();
    expect(interfaces(discovery)).toEqual([]);
    await discovery.stop();
  });

  it('asks the kernel once for a storm of changes, and again for those that came meanwhile', async () => {
    fresh().plug(2);
    bench.hold(pod('2'));
    const discovery = bench.discovery();
    await discovery.start(never);
    const before = bench.lookups;
    for (let change = 0; change < 100; change += 1) {
      bench.say('routes');
      bench.hold(pod('2'));
    }
    await bench.fire();
    expect(bench.lookups - before).toBeLessThanOrEqual(2);
    await discovery.stop();
  });

  it('keeps what it had while the kernel cannot be asked, and says so', async () => {
    fresh().plug(2);
    bench.hold(pod('2'));
    const discovery = bench.discovery();
    await discovery.start(never);
    bench.failing = true;
    await bench.event('routes');
    expect([interfaces(discovery), discovery.problems]).toEqual([['2=veth2'], ['the routes of this host cannot be read: EPERM']]);
    bench.failing = false;
    await bench.fire();
    expect(discovery.problems).toEqual([]);
    await discovery.stop();
  });

  it('has what it found after a restart, also while a source cannot tell yet', async () => {
    fresh().plug(2, 3);
    bench.hold(pod('2'), pod('3'));
    const first = bench.discovery();
    await first.start(never);
    await first.stop();
    bench.synced = false;
    bench.hold();
    const second = bench.discovery();
    await second.start(never);
    expect(interfaces(second)).toEqual(['2=veth2', '3=veth3']);
    bench.synced = true;
    bench.hold(pod('3'));
    await bench.fire();
    expect(interfaces(second)).toEqual(['3=veth3']);
    await second.stop();
    bench.text = '{"form":1,"places":[{}]}';
    const third = bench.discovery();
    await third.start(never);
    expect(interfaces(third)).toEqual(['3=veth3']);
    await third.stop();
  });

  it('waits for the kernel at the start, and can be stopped there', async () => {
    fresh().plug(2);
    bench.hold(pod('2'));
    bench.failing = true;
    const discovery = bench.discovery();
    const started = discovery.start(never);
    await turns();
    await turns();
    expect(discovery.synced).toBe(false);
    await discovery.stop();
    await started;
    expect(bench.timers.size).toBe(0);
  });
});
