/** The state on disk: any damage leaves a state that once was, never a mixture. */
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LastState, type StoredState, type ValueChange } from '../../../../src/sources/etcd/last-state.js';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dfw-last-'));
  file = join(directory, 'state.jsonl');
});
afterEach(async () => rm(directory, { recursive: true, force: true }));
const open = (identity = 'me'): LastState => new LastState(file, identity);
const at = (revision: number) => ({ cluster: '12345678901234567890', revision });
const plain = (state: StoredState | undefined): unknown => (state === undefined ? undefined : { at: state.at, values: Object.fromEntries([...state.values].map(([key, value]) => [key, Buffer.from(value).toString('hex')])) });
const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('the last state', () => {
  it('is nothing at first, and of another identity', async () => {
    expect(await open().load()).toBeUndefined();
    const state = open();
    await state.replace({ at: at(1), values: new Map([['a', bytes('1')]]) });
    await state.close();
    expect(await open('other').load()).toBeUndefined();
    expect(plain(await open().load())).toEqual({ at: at(1), values: { a: '31' } });
  });

  it('adds nothing before it was written whole', async () => {
    const state = open();
    await state.add([['a', bytes('1')]], 5);
    expect(await state.size()).toBe(0);
  });

  it('is what was written, or wherever it is cut off, what it once was', async () => {
    const change = fc.tuple(fc.constantFrom('a', 'b', '\x00\xff', 'k\n'), fc.option(fc.uint8Array({ maxLength: 8 }), { nil: undefined }));
    await fc.assert(fc.asyncProperty(fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 6 }), fc.nat(), async (steps, cut) => {
      const state = open();
      const values = new Map<string, Uint8Array>();
      await state.replace({ at: at(1), values });
      const states = [JSON.stringify({})];
      let revision = 1;
      for (const step of steps) {
        revision += 1;
        for (const [key, value] of step) {
          if (value === undefined) values.delete(key);
          else values.set(key, value);
          states.push(JSON.stringify((plain({ at: at(0), values }) as { values: unknown }).values));
        }
        await state.add(step satisfies ValueChange[], revision);
        await state.tidy(() => ({ at: at(revision), values }));
      }
      await state.close();
      const whole = plain(await open().load()) as { at: { revision: number }; values: object };
      expect(JSON.stringify(Object.entries(whole.values).toSorted(([a], [b]) => (a < b ? -1 : 1)))).toBe(JSON.stringify(Object.entries((plain({ at: at(0), values }) as { values: object }).values).toSorted(([a], [b]) => (a < b ? -1 : 1))));
      const { size } = await stat(file);
      await truncate(file, cut % (size + 1));
      const part = plain(await open().load()) as { values: object } | undefined;
      if (part !== undefined) expect(states.map((text) => normal(text))).toContain(normal(JSON.stringify(part.values)));
    }), { numRuns: 40 });
  });

  it('ends before a line that is damaged', async () => {
    const state = open();
    await state.replace({ at: at(1), values: new Map([['a', bytes('1')], ['b', bytes('2')]]) });
    await state.add([['c', bytes('3')]], 2);
    await state.close();
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/("b",")..../, '$1AAAA'));
    expect(plain(await open().load())).toEqual({ at: at(1), values: { a: '31' } });
  });

  it('is rewritten when it has grown', async () => {
    const state = open();
    const values = new Map([['a', new Uint8Array(100_000)]]);
    await state.replace({ at: at(1), values });
    for (let turn = 0; turn < 20; turn += 1) {
      await state.add([['a', new Uint8Array(100_000).fill(turn)]], turn + 2);
      await state.tidy(() => ({ at: at(turn + 2), values: new Map([['a', new Uint8Array(100_000).fill(turn)]]) }));
    }
    expect(await state.size()).toBeLessThan(700_000);
    await state.close();
    const loaded = await open().load();
    expect([loaded?.at.revision, loaded?.values.get('a')?.[0]]).toEqual([21, 19]);
  });
});

const normal = (text: string): string => JSON.stringify(Object.entries(JSON.parse(text) as object).toSorted(([a], [b]) => (a < b ? -1 : 1)));
