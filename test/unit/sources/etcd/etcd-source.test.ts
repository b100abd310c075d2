/** Whatever happens to the store and the connection, in whatever order: in the end the source holds what the store holds, and on the way never something that was in no store. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Clock } from '../../../../src/platform/clock.js';
import { EtcdKeys } from '../../../../src/sources/etcd/keys.js';
import { EtcdSource } from '../../../../src/sources/etcd/etcd-source.js';
import { LastState } from '../../../../src/sources/etcd/last-state.js';
import { InlineParser } from '../../../../src/sources/file/file-parser.js';
import { eventually } from '../../../support/command.js';
import { FakeEtcd, FakeStore } from '../../../support/fake-etcd.js';
import { silent } from '../../../support/silent.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dfw-etcd-'));
});
afterEach(async () => rm(directory, { recursive: true, force: true }));

/** Pauses take no time; waiting for a first reading takes a little. */
const clock: Clock = { now: () => 0, monotonic: () => performance.now(), after: (ms, action) => {
  const timer = setTimeout(action, ms > 1_000 ? 50 : 1);
  return () => clearTimeout(timer);
} };

const KEYS = ['/dfw/v1/objects/AddressSet/a', '/dfw/v1/objects/AddressSet/b', '/dfw/v1/hosts/h/objects/AddressSet/a', '/dfw/v1/objects/VirtualMachine/v', '/dfw/v1/workloads/o/VirtualMachine/w', '/dfw/v1/ruletables/junk', '/elsewhere'];
function valueOf(key: string, number: number): Buffer {
  const [kind = '', name = ''] = key.split('/').slice(-2);
  if (kind === 'ruletables') return Buffer.from('\xff\xff');
  return Buffer.from(JSON.stringify({ apiVersion: 'dfw.dev/v1', kind, metadata: { name }, spec: kind === 'AddressSet' ? { addresses: [`10.0.${number >> 8}.${number & 255}`] } : { uuid: String(number) } }));
}

type Step = { readonly do: 'put' | 'delete'; readonly key: string } | { readonly do: 'compact' | 'cut' | 'heal' | 'backup' | 'restore' | 'elsewhere' | 'breathe' | 'restart' };
const steps: fc.Arbitrary<readonly Step[]> = fc.array(fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), key: fc.constantFrom(...KEYS) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom(...KEYS) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('compact' as const, 'cut' as const, 'heal' as const, 'backup' as const, 'restore' as const, 'elsewhere' as const, 'breathe' as const, 'breathe' as const, 'restart' as const) }) },
), { minLength: 1, maxLength: 30 });

/** What a reader of this store holds, by object. */
function expected(store: FakeStore): Record<string, string> {
  const state = store.at(store.revision);
  const objects: Record<string, string> = {};
  for (const key of KEYS) {
    const value = state.get(key)?.value;
    const name = key.split('/').slice(-2).join('/');
    if (value !== undefined && /objects|workloads/.test(key)) objects[name] = Buffer.from(value).toString();
  }
  return objects;
}
const held = (source: EtcdSource): Record<string, string> => Object.fromEntries([source, source.others].flatMap((each) => [...each.snapshot().objects.keys()].map((key) => [key, JSON.stringify(each.snapshot().manifests.get(key))])));
const sorted = (objects: Record<string, string>): string => JSON.stringify(Object.entries(objects).toSorted(([a], [b]) => (a < b ? -1 : 1)));

it('comes to hold what the store holds', async () => {
  let run = 0;
  await fc.assert(fc.asyncProperty(steps, async (history) => {
    run += 1;
    const file = join(directory, `state-${run}.jsonl`);
    const client = new FakeEtcd(new FakeStore('1'));
    const make = (): EtcdSource => new EtcdSource({ client, keys: new EtcdKeys('/dfw/v1', 'h'), state: new LastState(file, 'x'), clock, log: silent, random: () => 0.5, parser: new InlineParser() });
    let source = make();
    client.store.change('/dfw/v1/objects/AddressSet/first', valueOf('AddressSet/first', 1));
    await source.start(new AbortController().signal);
    const everywhere = new Set([client.store]);
    let number = 0;
    let backup = client.store.backup();
    try {
      for (const step of history) {
        number += 1;
        switch (step.do) {
          case 'put':
            client.store.change(step.key, valueOf(step.key, number));
            break;
          case 'delete':
            client.store.change(step.key, undefined);
            break;
          case 'elsewhere':
            client.store.change('/elsewhere', Buffer.from(String(number)));
            break;
          case 'compact':
            client.store.compact(client.store.revision - 1);
            break;
          case 'cut':
            client.cut();
            break;
          case 'heal':
            client.heal();
            break;
          case 'backup':
            backup = client.store.backup();
            break;
          case 'restore':
            client.cut();
            client.store = backup.backup();
            everywhere.add(client.store);
            client.heal();
            break;
          case 'restart':
            await source.stop();
            source = make();
            await source.start(new AbortController().signal);
            break;
          case 'breathe':
            for (let turn = 0; turn < 5; turn += 1) await setImmediate();
            break;
        }
        // Every value was in some store: nothing is made up, nothing mixed.
        const ever = new Set([...everywhere].flatMap(({ events }) => events.flatMap(({ value }) => (value === undefined ? [] : [Buffer.from(value).toString()]))));
        for (const manifest of Object.values(held(source))) expect(ever).toContain(manifest);
      }
      client.heal();
      client.store.change('/dfw/v1/objects/AddressSet/last', valueOf('AddressSet/last', 2));
      const truth = sorted({ ...expected(client.store), ...ofOthers(client.store) });
      await eventually('it holds what the store holds', async () => (sorted(held(source)) === truth ? true : undefined), 3_000, 5).catch((error: unknown) => {
        throw new Error(`${String(error)}\nholds ${sorted(held(source))}\nstore ${truth}\n${JSON.stringify(source.troubles)}`, { cause: error });
      });
      await eventually('no troubles', async () => (source.troubles.length === 0 ? true : undefined), 3_000, 5);
      const junk = client.store.at(client.store.revision).has('/dfw/v1/ruletables/junk');
      await eventually('it refuses what is junk', async () => (source.snapshot().errors.map(({ object }) => object).join() === (junk ? '/dfw/v1/ruletables/junk' : '') ? true : undefined), 3_000, 5);
    } finally {
      await source.stop();
    }
    // What was stored is what was held.
    const stored = await new LastState(file, 'x').load();
    const last = client.store.at(client.store.revision);
    last.delete('/elsewhere');
    last.delete('/dfw/v1/ruletables/junk');
    expect([...(stored?.values.keys() ?? [])].toSorted()).toEqual([...last.keys()].toSorted());
  }), { numRuns: 60 });
});

it('has on the disk what it publishes, before anybody can enforce it', async () => {
  const file = join(directory, 'state.jsonl');
  const client = new FakeEtcd(new FakeStore('1'));
  const key = '/dfw/v1/objects/AddressSet/a';
  client.store.change(key, valueOf(key, 1));
  const source = new EtcdSource({ client, keys: new EtcdKeys('/dfw/v1', 'h'), state: new LastState(file, 'x'), clock, log: silent, random: () => 0.5, parser: new InlineParser() });
  const seen: boolean[] = [];
  source.onChange(() => seen.push(readFileSync(file, 'utf8').includes(Buffer.from(JSON.stringify(source.snapshot().manifests.get('AddressSet/a'))).toString('base64'))));
  await source.start(new AbortController().signal);
  try {
    for (const number of [2, 3]) {
      client.store.change(key, valueOf(key, number));
      await eventually('it has the change', async () => (seen.length === number ? true : undefined), 3_000, 5);
    }
  } finally {
    await source.stop();
  }
  expect(seen).toEqual([true, true, true]);
});

it('does not take a key that never was for one that was deleted', async () => {
  const client = new FakeEtcd(new FakeStore('1'));
  client.store.change(KEYS[0] ?? '', valueOf('AddressSet/a', 1));
  const backup = client.store.backup();
  const source = new EtcdSource({ client, keys: new EtcdKeys('/dfw/v1', 'h'), state: new LastState(join(directory, 'state.jsonl'), 'x'), clock, log: silent, random: () => 0.5, parser: new InlineParser() });
  await source.start(new AbortController().signal);
  try {
    const [, key = ''] = KEYS;
    client.store.change(key, valueOf(key, 2));
    await eventually('it is there', async () => (source.snapshot().objects.has('AddressSet/b') ? true : undefined), 3_000, 5);
    client.store.change(key, undefined);
    await eventually('it is gone', async () => (source.snapshot().objects.has('AddressSet/b') ? undefined : true), 3_000, 5);
    // Another history, in which other things happened at these revisions.
    client.cut();
    client.store = backup;
    client.store.change(KEYS[3] ?? '', valueOf('VirtualMachine/v', 3));
    client.store.change('/elsewhere', Buffer.from('x'));
    client.heal();
    await eventually('what happened there is known', async () => (source.snapshot().objects.has('VirtualMachine/v') ? true : undefined), 3_000, 5);
    expect([...source.snapshot().objects.keys()].toSorted()).toEqual(['AddressSet/a', 'VirtualMachine/v']);
  } finally {
    await source.stop();
  }
});

function ofOthers(store: FakeStore): Record<string, string> {
  const state = store.at(store.revision);
  return Object.fromEntries(['first', 'last'].flatMap((name): [string, string][] => {
    const value = state.get(`/dfw/v1/objects/AddressSet/${name}`)?.value;
    return value === undefined ? [] : [[`AddressSet/${name}`, Buffer.from(value).toString()]];
  }));
}
