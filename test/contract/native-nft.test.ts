import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ElementDump, ElementsSegment, NftMonitor, NftSocket, RawSegment } from '../../src/native/binding.js';
import { eventually, NativeHost, type Remote, sendDatagrams, TestNamespace } from './native-host.js';
import * as nft from './nft-messages.js';

const INTERVAL_END = 1;
const CATCHALL = 2;
const TYPE_INTEGER = 4;
const TYPE_IPV4 = 7;
const TYPE_IPV6 = 8;

const hash = { family: nft.NFPROTO_INET, table: 't', set: 'h', keyLength: 4, dataLength: 0 } as const;
const map = { family: nft.NFPROTO_INET, table: 't', set: 'm', keyLength: 4, dataLength: 16 } as const;
const BASE = nft.raw(
  nft.newTable('t'),
  nft.newSet({ table: 't', set: 'h', id: 1, keyType: TYPE_IPV4, keyLength: 4 }),
  nft.newSet({ table: 't', set: 'm', id: 2, flags: nft.SET_INTERVAL | nft.SET_MAP, keyType: TYPE_IPV4, keyLength: 4, dataType: TYPE_IPV6, dataLength: 16 }),
);

function addresses(count: number, step = 1, first = 0x0a000000): Uint8Array {
  const keys = new Uint8Array(count * 4);
  const view = new DataView(keys.buffer);
  for (let index = 0; index < count; index++) view.setUint32(index * 4, first + index * step);
  return keys;
}
const hosts = (op: 'add' | 'delete', keys: Uint8Array): ElementsSegment => ({ kind: 'elements', op, ...hash, keys });

/** `count` intervals of 2 addresses, 4 apart, each with its number as datum. */
function intervals(count: number, op: 'add' | 'delete' = 'add'): ElementsSegment & { data: Uint8Array; flags: Uint8Array } {
  const keys = new Uint8Array(count * 8);
  const data = new Uint8Array(count * 32);
  const flags = new Uint8Array(count * 2);
  for (let index = 0; index < count; index++) {
    new DataView(keys.buffer).setUint32(index * 8, 0x0a000000 + index * 4);
    new DataView(keys.buffer).setUint32(index * 8 + 4, 0x0a000000 + index * 4 + 2);
    new DataView(data.buffer).setUint32(index * 32 + 4, index + 1);
    flags[index * 2 + 1] = INTERVAL_END;
  }
  return { kind: 'elements', op, ...map, keys, data, flags };
}

/** A map with the longest keys and data there are. */
function wide(count: number): { table: RawSegment; elements: ElementsSegment } {
  const table = nft.raw(
    nft.newTable('t'),
    nft.newSet({ table: 't', set: 'w', id: 1, flags: nft.SET_MAP, keyType: TYPE_INTEGER, keyLength: 64, dataType: TYPE_INTEGER, dataLength: 64 }),
  );
  const keys = new Uint8Array(count * 64);
  for (let index = 0; index < count; index++) new DataView(keys.buffer).setUint32(index * 64 + 60, index);
  return { table, elements: { kind: 'elements', op: 'add', ...map, set: 'w', keyLength: 64, keys, dataLength: 64, data: keys } };
}

/** One line an element, sorted: sets have no order. */
function lines(elements: { keys: Uint8Array; data?: Uint8Array; flags?: Uint8Array }, keyLength: number, dataLength: number): string[] {
  const result: string[] = [];
  for (let index = 0; index * keyLength < elements.keys.length; index++) {
    const key = Buffer.from(elements.keys.subarray(index * keyLength, (index + 1) * keyLength)).toString('hex');
    const data = elements.data === undefined ? '' : Buffer.from(elements.data.subarray(index * dataLength, (index + 1) * dataLength)).toString('hex');
    result.push(`${key} ${data} ${elements.flags?.[index] ?? 0}`);
  }
  return result.sort();
}
function expectElements(dump: ElementDump, expected: { keys: Uint8Array; data?: Uint8Array; flags?: Uint8Array }, keyLength: number, dataLength: number): void {
  const actual = lines(dataLength === 0 ? { keys: dump.keys, flags: dump.flags } : dump, keyLength, dataLength);
  const wanted = lines(expected, keyLength, dataLength);
  // The first difference only: a hundred thousand lines say no more.
  const difference = wanted.findIndex((line, index) => line !== actual[index]);
  expect({ count: actual.length, difference, line: actual[difference] }).toEqual({ count: wanted.length, difference: -1, line: undefined });
}

describe('nf_tables socket', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let socket: Remote<NftSocket>;

  beforeEach(async () => {
    namespace = new TestNamespace();
    host = await NativeHost.start(namespace);
    socket = await host.create('NftSocket');
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  it('creates what raw messages say, and moves the generation on', async () => {
    const before = await socket.generation();
    const result = await socket.transact([BASE, nft.raw(nft.newChain('t', 'c'))]);
    expect(result).toMatchObject({ committed: true, errors: [], messages: 4, generation: before + 1 });
    expect(result.bytes).toBeGreaterThan(100);
    expect(await socket.generation()).toBe(before + 1);
    const listing = namespace.run('nft', 'list', 'ruleset');
    expect(listing).toContain('chain c');
    expect(listing).toMatch(/set h \{\s+type ipv4_addr/);
    expect(listing).toMatch(/map m \{\s+type ipv4_addr : ipv6_addr\s+flags interval/);
  });

  it('adds, dumps and deletes 100,000 elements of a hash set', async () => {
    const keys = addresses(100_000, 3);
    const added = await socket.transact([BASE, hosts('add', keys)]);
    expect(added).toMatchObject({ committed: true, errors: [] });
    const dump = await socket.dumpElements(hash);
    expect(dump.count).toBe(100_000);
    expect(dump.data).toHaveLength(0);
    expectElements(dump, { keys }, 4, 0);
    const removed = await socket.transact([hosts('delete', keys.subarray(0, 99_999 * 4))]);
    expect(removed).toMatchObject({ committed: true, errors: [] });
    const rest = await socket.dumpElements(hash);
    expectElements(rest, { keys: keys.subarray(99_999 * 4) }, 4, 0);
  });

  it('adds, dumps and deletes 50,000 intervals of a map with their ends', async () => {
    const elements = intervals(50_000);
    expect(await socket.transact([BASE, elements])).toMatchObject({ committed: true, errors: [] });
    const dump = await socket.dumpElements(map);
    expect(dump.count).toBe(100_000);
    expectElements(dump, elements, 4, 16);
    expect(await socket.transact([intervals(50_000, 'delete')])).toMatchObject({ committed: true, errors: [] });
    // The kernel keeps the end of everything (0.0.0.0, flag 1) in some versions: no interval may be left.
    const rest = await socket.dumpElements(map);
    expect([...rest.flags].filter((flags) => (flags & INTERVAL_END) === 0)).toEqual([]);
  });

  it('takes and gives catch-all elements', async () => {
    const data = new Uint8Array(16).fill(7);
    const elements: ElementsSegment = { kind: 'elements', op: 'add', ...map, keys: new Uint8Array(4), data, flags: new Uint8Array([CATCHALL]) };
    expect(await socket.transact([BASE, elements])).toMatchObject({ committed: true });
    const dump = await socket.dumpElements(map);
    expect(dump).toMatchObject({ count: 1, flags: new Uint8Array([CATCHALL]), keys: new Uint8Array(4), data });
    const { data: _, ...removal } = elements;
    expect(await socket.transact([{ ...removal, op: 'delete' }])).toMatchObject({ committed: true });
    expect((await socket.dumpElements(map)).count).toBe(0);
  });

  it('counts packets of elements, with a counter of the set or of the element', async () => {
    const both = nft.raw(
      nft.newTable('t'),
      nft.newSet({ table: 't', set: 'own', id: 1, keyType: TYPE_IPV4, keyLength: 4 }),
      nft.newSet({ table: 't', set: 'each', id: 2, keyType: TYPE_IPV4, keyLength: 4, counter: true }),
    );
    const keys = new Uint8Array([127, 0, 0, 1, 127, 0, 0, 2]);
    const segments = ['own', 'each'].map((set): ElementsSegment => ({ kind: 'elements', op: 'add', ...hash, set, keys, counter: true }));
    expect(await socket.transact([both, ...segments])).toMatchObject({ committed: true, errors: [] });
    namespace.run('ip', 'link', 'set', 'lo', 'up');
    namespace.run('nft', 'add chain inet t out { type filter hook output priority 0; }; add rule inet t out ip daddr @own ip daddr @each accept');
    sendDatagrams(namespace, '127.0.0.2');
    for (const set of ['own', 'each']) {
      const dump = await socket.dumpElements({ ...hash, set, counters: true });
      const counted = lines(dump, 4, 0).map((_, index) => [dump.keys[index * 4 + 3], dump.counters?.[index * 2], dump.counters?.[index * 2 + 1]]);
      expect(counted.sort(([a], [b]) => Number(a) - Number(b))).toEqual([[1, 0n, 0n], [2, 3n, 384n]]);
    }
    expect(await socket.transact([{ kind: 'elements', op: 'add', ...hash, set: 'each', keys: new Uint8Array([127, 0, 0, 3]) }])).toMatchObject({ committed: true });
    expect((await socket.dumpElements({ ...hash, set: 'each', counters: true })).counters).toHaveLength(6);
    expect((await socket.dumpElements({ ...hash, set: 'each' })).counters).toBeUndefined();
  });

  it('reports every refused message with its segment and its place there, and applies nothing', async () => {
    expect(await socket.transact([BASE, nft.raw(nft.newChain('t', 'c'))])).toMatchObject({ committed: true });
    const generation = await socket.generation();
    const result = await socket.transact([
      nft.raw(nft.newTable('fresh')),
      nft.raw(),
      nft.raw(nft.newChain('t', 'd'), nft.newChain('t', 'c', nft.NLM_F_CREATE | nft.NLM_F_EXCL), nft.deleteTable('absent')),
      hosts('delete', addresses(1)),
      hosts('add', addresses(10)),
      { ...hosts('add', addresses(1)), set: 'absent' },
    ]);
    expect(result.committed).toBe(false);
    expect(result.errors).toEqual([
      { segment: 2, message: 1, errno: 17, code: 'EEXIST' },
      { segment: 2, message: 2, errno: 2, code: 'ENOENT' },
      { segment: 3, message: 0, errno: 2, code: 'ENOENT' },
      { segment: 5, message: 0, errno: 2, code: 'ENOENT' },
    ]);
    expect(result.generation).toBe(generation);
    expect((await socket.dumpElements(hash)).count).toBe(0);
    const listing = namespace.run('nft', 'list', 'ruleset');
    expect(listing).not.toContain('fresh');
    expect(listing).not.toContain('chain d');
  });

  it('names the message that holds the refused element when a segment needs several', async () => {
    const keys = addresses(100_000);
    await socket.transact([BASE, hosts('add', keys.subarray(0, 90_000 * 4))]);
    const result = await socket.transact([nft.raw(nft.newChain('t', 'c')), hosts('delete', keys)]);
    expect(result.committed).toBe(false);
    const failed = result.errors.map((error) => error.message);
    expect(result.errors.every((error) => error.segment === 1 && error.code === 'ENOENT')).toBe(true);
    // The elements 90,000.. are in the last tenth of the messages.
    const messages = result.messages - 1;
    expect(messages).toBeGreaterThan(10);
    expect(failed).toEqual(Array.from({ length: failed.length }, (_, index) => messages - failed.length + index));
    expect(failed.length / messages).toBeGreaterThan(0.08);
    expect(failed.length / messages).toBeLessThan(0.15);
    expect((await socket.dumpElements(hash)).count).toBe(90_000);
  });

  it('reports thousands of errors of one batch', async () => {
    await socket.transact([BASE]);
    const result = await socket.transact([nft.raw(...Array.from({ length: 5000 }, (_, index) => nft.deleteTable(`absent${index}`)))]);
    expect(result.committed).toBe(false);
    expect(result.errors.map((error) => error.message)).toEqual(Array.from({ length: 5000 }, (_, index) => index));
    expect(await socket.transact([nft.raw(nft.newTable('later'))])).toMatchObject({ committed: true, errors: [] });
  });

  it('does not split an interval from its end', async () => {
    // More elements than fit into one message, one more element each time: the cut falls on every phase.
    for (let count = 1; count <= 6; count++) {
      const shifted = intervals(3000 + count);
      const lead: ElementsSegment = { ...shifted, keys: shifted.keys.subarray(0, 4), data: shifted.data.subarray(0, 16), flags: new Uint8Array([CATCHALL]) };
      const joined: ElementsSegment = {
        ...shifted,
        keys: Buffer.concat([lead.keys, shifted.keys]),
        data: Buffer.concat([lead.data ?? new Uint8Array(), shifted.data]),
        flags: Buffer.concat([lead.flags ?? new Uint8Array(), shifted.flags]),
      };
      const table = `t${count}`;
      const created = nft.raw(
        nft.newTable(table),
        nft.newSet({ table, set: 'm', id: 1, flags: nft.SET_INTERVAL | nft.SET_MAP, keyType: TYPE_IPV4, keyLength: 4, dataType: TYPE_IPV6, dataLength: 16 }),
      );
      expect(await socket.transact([created, { ...joined, table }])).toMatchObject({ committed: true, errors: [] });
      expect((await socket.dumpElements({ ...map, table })).count).toBe(1 + 2 * (3000 + count));
    }
  });

  it('takes batches of tens of megabytes', async () => {
    const { table, elements } = wide(300_000);
    const result = await socket.transact([table, elements]);
    expect(result).toMatchObject({ committed: true, errors: [] });
    expect(result.bytes).toBeGreaterThan(40_000_000);
    // One that is not there would refuse the whole batch.
    const { data: _, ...removal } = elements;
    expect(await socket.transact([{ ...removal, op: 'delete' }])).toMatchObject({ committed: true, errors: [] });
  });

  it('refuses what is no whole nf_tables message before anything is sent', async () => {
    const whole = nft.newTable('t');
    const batchBegin = Buffer.from(whole);
    batchBegin.writeUInt16LE(16, 4);
    const tooLong = Buffer.from(whole);
    tooLong.writeUInt32LE(whole.length + 4, 0);
    const tooShort = Buffer.from(whole);
    tooShort.writeUInt32LE(16, 0);
    for (const bytes of [whole.subarray(0, whole.length - 4), whole.subarray(0, 10), batchBegin, tooLong, tooShort, Buffer.concat([whole, whole.subarray(0, 19)])]) {
      await expect(socket.transact([nft.raw(whole), { kind: 'raw', bytes }])).rejects.toMatchObject({ code: 'EINVAL', errno: 22, syscall: 'transact' });
    }
    const elements = hosts('add', addresses(2));
    const wrong: ElementsSegment[] = [
      { ...elements, keys: new Uint8Array(7) },
      { ...elements, flags: new Uint8Array(3) },
      { ...elements, dataLength: 16 },
      { ...elements, dataLength: 16, data: new Uint8Array(31) },
      { ...elements, keyLength: 0 },
      { ...elements, table: 'x'.repeat(300) },
    ];
    for (const segment of wrong) await expect(socket.transact([segment])).rejects.toMatchObject({ code: 'EINVAL' });
    expect(await socket.generation()).toBe(1);
    expect(namespace.run('nft', 'list', 'tables')).toBe('');
  });

  it('answers a batch without messages', async () => {
    expect(await socket.transact([])).toEqual({ committed: true, generation: 1, errors: [], messages: 0, bytes: 0 });
    expect(await socket.transact([hosts('add', new Uint8Array())])).toMatchObject({ committed: true, messages: 0, generation: 1 });
  });

  it('runs concurrent transactions in the order of the calls', async () => {
    await socket.transact([BASE]);
    const calls = Array.from({ length: 100 }, (_, index) => socket.transact([hosts('add', addresses(10, 1, index * 10))]));
    const dump = socket.dumpElements(hash);
    const results = await Promise.all(calls);
    expect(results.every((result) => result.committed)).toBe(true);
    expect(results.map((result) => result.generation)).toEqual(results.map((_, index) => index + 3));
    expect((await dump).count).toBe(1000);
  });

  it('keeps two sockets of one process apart', async () => {
    const other = await host.create('NftSocket');
    await socket.transact([BASE]);
    const both = [socket, other].flatMap((each, which) =>
      Array.from({ length: 50 }, (_, index) => each.transact([hosts(index === 25 ? 'delete' : 'add', addresses(1, 1, 0x0b000000 + which * 1000 + index))])),
    );
    const results = await Promise.all(both);
    results.forEach((result, index) => expect(result).toMatchObject({ committed: index % 50 !== 25, errors: index % 50 === 25 ? [{ code: 'ENOENT' }] : [] }));
    expect((await other.dumpElements(hash)).count).toBe(98);
  });

  it('dumps raw messages', async () => {
    await socket.transact([BASE, nft.raw(nft.newTable('u'), nft.newChain('u', 'c'))]);
    const general = new Uint8Array(4);
    expect(nft.messageTypes(await socket.dump(1, general))).toEqual([0, 0]);
    expect(nft.messageTypes(await socket.dump(4, general))).toEqual([3]);
    expect(nft.messageTypes(await socket.dump(10, general))).toEqual([9, 9]);
    expect(await socket.dump(7, general)).toHaveLength(0);
    await expect(socket.dump(1, new Uint8Array(3))).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(socket.dump(99, general)).rejects.toMatchObject({ code: 'EINVAL', syscall: 'dump' });
  });

  it('says ENOENT for an absent table or set, and EINVAL for another key length, and goes on', async () => {
    await expect(socket.dumpElements(hash)).rejects.toMatchObject({ code: 'ENOENT', errno: 2, syscall: 'dumpElements' });
    await socket.transact([BASE, hosts('add', addresses(50_000))]);
    await expect(socket.dumpElements({ ...hash, set: 'absent' })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(socket.dumpElements({ ...hash, keyLength: 16 })).rejects.toMatchObject({ code: 'EINVAL' });
    expect((await socket.dumpElements(hash)).count).toBe(50_000);
  });

  it('leaves out the data of verdict maps', async () => {
    namespace.run('nft', 'add table inet t; add map inet t h { type ipv4_addr : verdict; elements = { 1.2.3.4 : accept, 1.2.3.5 : drop } }');
    expect(await socket.dumpElements({ ...hash, dataLength: 4 })).toMatchObject({ count: 2, data: new Uint8Array(), flags: new Uint8Array(2) });
  });

  it('repeats a dump that others interrupt', async () => {
    const other = await host.create('NftSocket');
    await socket.transact([BASE, hosts('add', addresses(100_000))]);
    const dumps = Array.from({ length: 4 }, () => socket.dumpElements(hash));
    for (let index = 0; index < 60; index++) {
      await other.transact([hosts(index % 2 === 0 ? 'delete' : 'add', addresses(1))]);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const counts = (await Promise.all(dumps)).map((dump) => dump.count);
    // Each is one state of the set, never a mixture with elements twice or missing.
    expect(counts.every((count) => count === 100_000 || count === 99_999)).toBe(true);
  });

  it('ends what runs and rejects what waits when it is closed', async () => {
    const { busy, waiting } = host.together(() => {
      const running = socket.transact([BASE, hosts('add', addresses(100_000))]);
      const calls = [socket.generation(), socket.transact([nft.raw(nft.newTable('never'))]), socket.dump(1, new Uint8Array(4))];
      return { busy: running, waiting: Promise.allSettled([...calls, socket.close(), socket.close()]) };
    });
    expect(await busy).toMatchObject({ committed: true });
    const settled = await waiting;
    for (const result of settled.slice(0, 3)) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ECANCELED' } });
    expect(settled.slice(3).map((result) => result.status)).toEqual(['fulfilled', 'fulfilled']);
    await expect(socket.generation()).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(namespace.run('nft', 'list', 'tables')).toBe('table inet t\n');
  });

  it('lets the process end while it is busy and while a monitor is started', async () => {
    const monitor = await host.create('NftMonitor');
    await monitor.start(() => undefined);
    socket.transact([BASE, hosts('add', addresses(100_000))]).catch(() => undefined);
    expect(await host.release()).toBe(0);
    expect(namespace.run('nft', 'list', 'tables')).toBe('table inet t\n');
  });
});

describe('nf_tables monitor', () => {
  let namespace: TestNamespace;
  let host: NativeHost;
  let monitor: Remote<NftMonitor>;
  let seen: (Uint8Array | null)[];

  beforeEach(async () => {
    namespace = new TestNamespace();
    host = await NativeHost.start(namespace);
    monitor = await host.create('NftMonitor');
    seen = [];
    await monitor.start((messages) => seen.push(messages));
  });
  afterEach(async () => {
    await host.dispose();
    namespace.dispose();
  });

  it('sees what others change, until it is stopped, and again after another start', async () => {
    namespace.run('nft', 'add', 'table', 'inet', 'foreign');
    const first = await eventually(() => seen[0] ?? undefined);
    expect(nft.messageTypes(first)).toEqual([0, 15]); // NEWTABLE, NEWGEN
    expect(Buffer.from(first).includes('foreign\0')).toBe(true);
    await expect(monitor.start(() => undefined)).rejects.toMatchObject({ code: 'EALREADY' });
    await monitor.stop();
    await monitor.stop();
    namespace.run('nft', 'add', 'table', 'inet', 'unseen');
    await monitor.start((messages) => seen.push(messages));
    namespace.run('nft', 'delete', 'table', 'inet', 'foreign');
    const second = await eventually(() => seen[1] ?? undefined);
    expect(nft.messageTypes(second)).toEqual([2, 15]);
    expect(seen).toHaveLength(2);
  });

  it('says null when events were lost, and goes on', async () => {
    const busy = await NativeHost.start(namespace);
    try {
      const socket = await busy.create('NftSocket');
      const { table, elements } = wide(400_000);
      // More than 130 bytes of notification an element: with the kernel's overhead more than the receive buffer holds.
      host.pause();
      expect(await socket.transact([table, elements])).toMatchObject({ errors: [], committed: true });
      host.resume();
      await eventually(() => (seen.includes(null) ? true : undefined));
      const count = seen.length;
      // While the buffer is still being emptied an event more may be lost too: then null comes again, and a later one gets through.
      let attempt = 0;
      let last = 0;
      await eventually(() => {
        if (Date.now() - last > 500) {
          last = Date.now();
          attempt += 1;
          namespace.run('nft', 'add', 'table', 'inet', `after${attempt}`);
        }
        return seen.slice(count).find((messages) => messages !== null && Buffer.from(messages).includes('after'));
      }, 20);
    } finally {
      await busy.dispose();
    }
  });

  it('reports the type of a wrong listener', async () => {
    const other = await host.create('NftMonitor');
    await expect(other.start(...([7] as unknown as Parameters<NftMonitor['start']>))).rejects.toMatchObject({ code: 'EINVAL' });
  });
});
