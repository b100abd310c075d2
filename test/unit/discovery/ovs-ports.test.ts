import { describe, expect, it } from 'vitest';
import { OvsPorts } from '../../../src/discovery/ovs-ports.js';
import type { WorkloadPort } from '../../../src/discovery/port-attachments.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import type { Clock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const pod = (name: string): WorkloadPort => ({ name, workload: { kind: 'Pod', namespace: 'n', name: `pod-${name}` }, addresses: [] });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A switch and a state directory that outlive the agent. */
class Bench {
  ports: readonly WorkloadPort[] | undefined;
  text: string | undefined;
  failing = false;
  writes = 0;
  declared: ReadonlyMap<string, DesiredObject> = new Map();
  readonly timers = new Set<() => void>();
  private readonly listeners = new Set<() => void>();

  readonly clock: Clock = {
    now: () => 0, monotonic: () => 0,
    after: (_ms, action) => {
      this.timers.add(action);
      return () => this.timers.delete(action);
    },
  };

  discovery(): OvsPorts {
    return new OvsPorts({
      feed: {
        workloadPorts: () => this.ports,
        onChange: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      },
      declared: () => [this.declared], clock: this.clock, log: silent,
      store: {
        read: () => this.text,
        write: async (text) => {
          await turn();
          if (this.failing) throw new Error('disk full');
          this.text = text;
          this.writes += 1;
        },
      },
    });
  }

  change(ports: readonly WorkloadPort[] | undefined): void {
    this.ports = ports;
    for (const listener of this.listeners) listener();
  }

  fire(): void {
    for (const action of Array.from(this.timers)) {
      this.timers.delete(action);
      action();
    }
  }

  get listening(): number {
    return this.listeners.size;
  }
}

const never = new AbortController().signal;
const interfaces = (discovery: OvsPorts): string[] => [...discovery.snapshot().objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [object.interface] : []));

describe('discovery of ports', () => {
  it('follows the switch, and tells of changes only', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    const discovery = bench.discovery();
    expect(discovery.synced).toBe(false);
    await discovery.start(never);
    expect([discovery.synced, interfaces(discovery)]).toEqual([true, ['a']]);
    let told = 0;
    const quiet = discovery.onChange(() => {
      told += 1;
    });
    const { revision } = discovery.snapshot();
    bench.change([pod('a')]);
    expect([told, discovery.snapshot().revision]).toEqual([0, revision]);
    const kept = discovery.snapshot().objects.get('Attachment/ovs-a');
    bench.change([pod('a'), pod('b')]);
    expect([told, interfaces(discovery)]).toEqual([1, ['a', 'b']]);
    expect(discovery.snapshot().objects.get('Attachment/ovs-a')).toBe(kept);
    expect(discovery.snapshot().manifests.get('Attachment/ovs-b')).toEqual({
      apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: 'ovs-b' }, spec: { workload: { kind: 'Pod', namespace: 'n', name: 'pod-b' }, vnic: 'eth0', interface: 'b' },
    });
    bench.change([]);
    expect([told, interfaces(discovery)]).toEqual([2, []]);
    quiet();
    bench.change([pod('c')]);
    expect(told).toBe(2);
    await discovery.stop();
    expect([bench.listening, bench.timers.size]).toEqual([0, 0]);
  });

  it('keeps what it knows while the switch cannot tell, also over restarts', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    const before = bench.discovery();
    await before.start(never);
    bench.change(undefined);
    expect(interfaces(before)).toEqual(['a']);
    await before.stop();
    const after = bench.discovery();
    const starting = after.start(never);
    expect(interfaces(after)).toEqual(['a']);
    await turn();
    bench.fire();
    await starting;
    expect(interfaces(after)).toEqual(['a']);
    bench.change([pod('b')]);
    expect(interfaces(after)).toEqual(['b']);
    await after.stop();
  });

  it('is asked to read before it was started: what was stored is not lost, and it follows the switch', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    const before = bench.discovery();
    await before.start(never);
    bench.change([]);
    bench.change([{ ...pod('a'), name: 'renamed' }]);
    await before.stop();
    const after = bench.discovery();
    await after.sync(never);
    expect([after.synced, bench.listening]).toEqual([false, 0]);
    await after.start(never);
    expect([...after.snapshot().objects.keys()]).toEqual(['Attachment/ovs-a']);
    bench.change([]);
    expect(interfaces(after)).toEqual([]);
    await after.stop();
  });

  it('starts when the switch is read, when that takes too long, or when it is told to end', async () => {
    const bench = new Bench();
    const first = bench.discovery();
    const starting = first.start(never);
    bench.change([pod('a')]);
    await starting;
    expect(interfaces(first)).toEqual(['a']);
    const abort = new AbortController();
    bench.ports = undefined;
    const second = new Bench().discovery();
    const ended = second.start(abort.signal);
    abort.abort();
    await ended;
    await Promise.all([first.stop(), second.stop()]);
  });

  it('sees at once what the other sources declare', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    const discovery = bench.discovery();
    await discovery.start(never);
    const declared: DesiredObject = { kind: 'Attachment', metadata: { name: 'mine', labels: {} }, workload: { kind: 'Pod', namespace: 'n', name: 'x' }, vnic: 'eth0', interface: 'a', addresses: [] };
    bench.declared = new Map([[objectKey(declared), declared]]);
    expect(interfaces(discovery)).toEqual([]);
    bench.declared = new Map();
    expect(interfaces(discovery)).toEqual(['a']);
    await discovery.stop();
  });

  it('keeps names of ports that are renamed over a restart', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    const before = bench.discovery();
    await before.start(never);
    await before.stop();
    bench.ports = [{ ...pod('a'), name: 'z' }];
    const after = bench.discovery();
    await after.start(never);
    expect([...after.snapshot().objects.keys()]).toEqual(['Attachment/ovs-a']);
    await after.stop();
  });

  it('says that it cannot store, tries again, and writes nothing twice', async () => {
    const bench = new Bench();
    bench.ports = [pod('a')];
    bench.failing = true;
    const discovery = bench.discovery();
    await discovery.start(never);
    await turn();
    await turn();
    expect(discovery.problems).toEqual(['the ports found are not stored: disk full']);
    bench.failing = false;
    bench.fire();
    for (let wait = 0; wait < 5; wait++) await turn();
    expect([discovery.problems, bench.writes]).toEqual([[], 1]);
    bench.change([pod('a')]);
    await discovery.stop();
    expect(bench.writes).toBe(1);
  });

  it.each(['{', '[]', '{"form":2,"ports":[],"names":[]}', '{"form":1,"ports":[{}],"names":[]}', '{"form":1,"ports":[],"names":[1]}'])('says so when what was stored is damaged: %s', async (text) => {
    const bench = new Bench();
    bench.text = text;
    const discovery = bench.discovery();
    const starting = discovery.start(never);
    expect(discovery.problems[0]).toContain('the stored ports cannot be read');
    bench.change([pod('a')]);
    await starting;
    expect(interfaces(discovery)).toEqual(['a']);
    await discovery.stop();
    expect(JSON.parse(bench.text ?? '')).toMatchObject({ form: 1, ports: [{ name: 'a' }] });
  });
});
