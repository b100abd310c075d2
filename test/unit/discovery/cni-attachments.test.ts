import { describe, expect, it } from 'vitest';
import { CniAttachments, type CniContainer } from '../../../src/discovery/cni-attachments.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import type { Clock } from '../../../src/platform/clock.js';
import type { Logger } from '../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const container = (name: string, over: Partial<CniContainer> = {}): CniContainer => ({
  network: 'pods', containerId: `c-${name}`, vnic: 'eth0', pod: { namespace: 'n', name }, interface: `veth${name}`, addresses: [`10.0.0.${name}`], ...over,
});
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const never = new AbortController().signal;

/** A host, its other sources and a state directory that outlive the agent. */
class Bench {
  present = new Set<string>();
  declared: ReadonlyMap<string, DesiredObject> = new Map();
  text: string | undefined;
  failing = false;
  unreadable = false;
  time = 0;
  private timers: { readonly at: number; readonly action: () => void }[] = [];
  readonly clock: Clock = {
    now: () => this.time, monotonic: () => this.time,
    after: (ms, action) => {
      const timer = { at: this.time + ms, action };
      this.timers.push(timer);
      return () => {
        this.timers = this.timers.filter((each) => each !== timer);
      };
    },
  };

  containers(): CniAttachments {
    return new CniAttachments({
      clock: this.clock, log: silent, declared: () => [this.declared],
      interfaces: async () => (this.unreadable ? Promise.reject(new Error('no')) : Promise.resolve(this.present)),
      store: {
        read: () => this.text,
        write: async (text) => {
          if (this.failing) throw new Error('disk full');
          this.text = text;
          return Promise.resolve();
        },
      },
    });
  }

  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.timers.toSorted((a, b) => a.at - b.at).find(({ at }) => at <= end);
      if (next === undefined) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.time = next.at;
      next.action();
      await turns();
    }
    this.time = end;
  }

  get waiting(): number {
    return this.timers.length;
  }
}
const interfaces = (containers: CniAttachments): string[] => [...containers.snapshot().objects.values()].flatMap((object) => (object.kind === 'Attachment' ? [object.interface] : [])).sort();

describe('Attachments of containers', () => {
  it('are there before they are stored, and stored when add() resolves', async () => {
    const bench = new Bench();
    const containers = bench.containers();
    await containers.start(never);
    expect(containers.synced).toBe(true);
    let told = 0;
    containers.onChange(() => {
      told += 1;
    });
    const adding = containers.add(container('1', { mac: '0a:00:00:00:00:01' }));
    expect([told, interfaces(containers), bench.text]).toEqual([1, ['veth1'], undefined]);
    await adding;
    expect(bench.text).toContain('veth1');
    expect(containers.snapshot().objects.get('Attachment/cni-veth1')).toEqual({
      kind: 'Attachment', metadata: { name: 'cni-veth1', labels: {} }, workload: { kind: 'Pod', namespace: 'n', name: '1' }, vnic: 'eth0', interface: 'veth1', mac: '0a:00:00:00:00:01', addresses: ['10.0.0.1'], early: true,
    });
    await containers.add(container('1', { mac: '0a:00:00:00:00:01' }));
    expect(told).toBe(1);
    await containers.stop();
  });

  it('rejects what cannot be stored, and keeps it closed all the same', async () => {
    const bench = new Bench();
    const containers = bench.containers();
    await containers.start(never);
    bench.failing = true;
    await expect(containers.add(container('1'))).rejects.toMatchObject({ code: 'E_IO', object: 'Pod/n/1' });
    expect([interfaces(containers), containers.problems.length]).toEqual([['veth1'], 1]);
    bench.failing = false;
    await bench.pass(6_000);
    expect([bench.text?.includes('veth1'), containers.problems]).toEqual([true, []]);
    await containers.stop();
  });

  it('a new container on an interface takes the place of the old one', async () => {
    const bench = new Bench();
    const containers = bench.containers();
    await containers.start(never);
    await containers.add(container('1'));
    await containers.add(container('2', { interface: 'veth1' }));
    expect([interfaces(containers), containers.get(container('1')), containers.get(container('2'))?.interface]).toEqual([['veth1'], undefined, 'veth1']);
    expect([containers.remove(container('1')), containers.remove(container('2')), containers.remove(container('2'))]).toEqual([false, true, false]);
    expect(interfaces(containers)).toEqual([]);
    await containers.stop();
  });

  it('leaves interfaces that others declare', async () => {
    const bench = new Bench();
    const containers = bench.containers();
    await containers.start(never);
    await containers.add(container('1'));
    const declared: DesiredObject = { kind: 'Attachment', metadata: { name: 'own', labels: {} }, workload: { kind: 'VirtualMachine', name: 'vm' }, vnic: 'eth0', interface: 'veth1', addresses: [] };
    bench.declared = new Map([[objectKey(declared), declared]]);
    expect(interfaces(containers)).toEqual([]);
    bench.declared = new Map();
    expect(interfaces(containers)).toEqual(['veth1']);
    await containers.stop();
  });

  it('survives restarts; what is damaged is said', async () => {
    const bench = new Bench();
    const first = bench.containers();
    await first.start(never);
    for (const name of ['1', '2']) await first.add(container(name));
    await first.stop();
    const second = bench.containers();
    await second.start(never);
    expect(interfaces(second)).toEqual(['veth1', 'veth2']);
    await second.stop();
    bench.text = '{"form":1,"containers":[{"network":"x"}]}';
    const third = bench.containers();
    await third.start(never);
    expect([interfaces(third), third.problems.length]).toEqual([[], 1]);
    await third.stop();
  });

  it('collects garbage of one network only', async () => {
    const bench = new Bench();
    const containers = bench.containers();
    await containers.start(never);
    await containers.add(container('1'));
    await containers.add(container('2'));
    await containers.add(container('3', { network: 'storage' }));
    expect(containers.collect('pods', [container('2')])).toBe(1);
    expect(interfaces(containers)).toEqual(['veth2', 'veth3']);
    expect(containers.collect('other', [])).toBe(0);
    await containers.stop();
  });

  it('lets go of an interface that has been gone for 10 s, not of one that came back', async () => {
    const bench = new Bench();
    bench.present = new Set(['veth1', 'veth2']);
    const containers = bench.containers();
    await containers.start(never);
    for (const name of ['1', '2']) await containers.add(container(name));
    bench.present = new Set();
    containers.linksChanged();
    await bench.pass(9_000);
    bench.present = new Set(['veth2']);
    expect(interfaces(containers)).toEqual(['veth1', 'veth2']);
    bench.unreadable = true;
    await bench.pass(2_000);
    expect(interfaces(containers)).toEqual(['veth1', 'veth2']);
    bench.unreadable = false;
    await bench.pass(2_000);
    expect(interfaces(containers)).toEqual(['veth2']);
    await bench.pass(60_000);
    expect([interfaces(containers), bench.waiting]).toEqual([['veth2'], 0]);
    // An interface that another container has now is not counted as gone since then.
    bench.present = new Set();
    containers.linksChanged();
    await bench.pass(9_000);
    await containers.add(container('9', { interface: 'veth2' }));
    await bench.pass(5_000);
    expect(interfaces(containers)).toEqual(['veth2']);
    await containers.stop();
    expect(bench.waiting).toBe(0);
  });

  it('names attachments by interfaces, without clashes', () => {
    const names = ['veth1', 'a!', 'a%', 'a_'].map((device) => CniAttachments.attachmentName({ interface: device }));
    expect(names[0]).toBe('cni-veth1');
    expect(new Set(names).size).toBe(4);
  });
});
