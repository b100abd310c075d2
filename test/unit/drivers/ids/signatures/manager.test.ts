import { appendFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeDisk } from '../../../../../src/drivers/ids/signatures/disk.js';
import { loadedOf, makeRoot, Managed, removeRoot, rule, type ManagedOptions } from './managed.js';

let root = '';
const made: Managed[] = [];
const managed = (options: ManagedOptions = {}): Managed => {
  const one = new Managed(root, options);
  made.push(one);
  return one;
};
beforeEach(async () => {
  root = await makeRoot();
});
afterEach(async () => {
  for (const one of made.splice(0)) await one.end();
  await removeRoot(root);
});

describe('the directory of signatures', () => {
  test('the first set leaves out what the engine refuses, and says so', async () => {
    const one = managed();
    await one.writeRules('a.rules', rule(2), rule(3, 'bogus; '), rule(4));
    await one.open();
    expect(one.loaded).toEqual(['alert 1', 'alert 2', 'alert 4']);
    expect(one.manager.status()).toMatchObject({
      set: { loaded: 3, failed: 1 }, refused: { what: 'the first signatures', faults: [{ file: join(one.directory, 'a.rules'), line: 2, sid: 3, reason: 'unknown rule keyword' }] },
    });
  });

  test('changes nothing before a reload, also over a crash of engine or agent; a bad one never comes into force', async () => {
    const one = await managed().open();
    await one.writeRules('a.rules', rule(2), rule(3, 'bogus; '));
    expect(await loadedOf(one.manager.load)).toEqual(['alert 1']);
    const refused = await one.manager.reload();
    expect(refused).toMatchObject({ reloaded: false, outcome: 'failed', faults: [{ line: 2, sid: 3, file: join(one.directory, 'a.rules') }] });
    expect(refused.detail).toContain('1 signatures refused by the engine; what was in force stays');
    expect([one.reloads, await loadedOf(one.manager.load)]).toEqual([0, ['alert 1']]);
    await one.writeRules('a.rules', rule(2));
    expect(await one.manager.reload()).toMatchObject({ reloaded: true, detail: '2 signatures in force', faults: [] });
    expect(one.loaded).toEqual(['alert 1', 'alert 2']);
    expect(one.manager.status().refused).toBeUndefined();
  });

  test('is taken up when it changed while the agent was away; when not, nothing is tested', async () => {
    await (await managed().open()).end();
    const same = await managed({ bundle: false }).open();
    same.manager.start(same.lifetime.signal);
    await same.end();
    expect(same.tests).toBe(0);
    await writeFile(join(root, 'directory/late.rules'), rule(7));
    const other = await managed({ bundle: false }).open();
    expect(other.loaded).toEqual(['alert 1']);
    other.manager.start(other.lifetime.signal);
    await expect.poll(() => other.loaded).toEqual(['alert 1', 'alert 7']);
  });

  test('so many failures are let pass, and no more', async () => {
    const one = await managed({ allowedFailures: 1 }).open();
    await one.writeRules('a.rules', rule(2, 'bogus; '), rule(3));
    expect(await one.manager.reload()).toMatchObject({ reloaded: true, detail: '2 signatures in force, 1 refused', faults: [{ sid: 2 }] });
    expect(one.loaded).toEqual(['alert 1', 'alert 3']);
    await one.writeRules('b.rules', rule(4, 'bogus; '));
    expect((await one.manager.reload()).reloaded).toBe(false);
    expect(one.loaded).toEqual(['alert 1', 'alert 3']);
  });

  test('a rule over several lines is left out whole', async () => {
    const one = await managed({ allowedFailures: 1 }).open();
    await one.writeRules('a.rules', 'alert tcp any any -> any any (msg:"x"; \\\nbogus; \\\n sid:5;)\n', rule(6));
    expect(await one.manager.reload()).toMatchObject({ reloaded: true, detail: '2 signatures in force, 1 refused' });
  });

  test('names that mean something to the engine do no harm', async () => {
    const one = await managed().open();
    await one.writeRules('a[1]*.rules', rule(2));
    await one.writeRules('.hidden.rules', rule(9));
    await one.manager.reload();
    expect(one.loaded).toEqual(['alert 1', 'alert 2']);
    expect((await one.manager.list({ sid: 2 })).signatures).toMatchObject([{ sid: 2, enabled: true }]);
  });

  test('an engine that does not answer as its test did is noticed; one that refuses keeps its set, and so do we', async () => {
    const one = await managed().open();
    await one.writeRules('a.rules', rule(2));
    one.engineAnswer = { reloaded: true, detail: '', rules: { loaded: 1, failed: 1, skipped: 0 } };
    expect((await one.manager.reload()).detail).toBe('1 signatures in force: the test had 2');
    one.engineAnswer = undefined;
    await one.manager.reload();
    await one.writeRules('a.rules', rule(3));
    one.engineAnswer = { reloaded: false, refused: true, detail: 'out of memory' };
    expect(await one.manager.reload()).toMatchObject({ reloaded: false, outcome: 'failed' });
    expect(await loadedOf(one.manager.load)).toEqual(['alert 1', 'alert 2']);
    // One that does not run reads the new set when it starts.
    one.engineAnswer = { reloaded: false, detail: 'suricata is not running' };
    expect(await one.manager.reload()).toMatchObject({ reloaded: false, outcome: 'changed', detail: 'suricata is not running' });
    expect(await loadedOf(one.manager.load)).toEqual(['alert 1', 'alert 3']);
  });
});

describe('bundles', () => {
  test('come into force beside the directory, which goes before them, as they go before the agent\'s own', async () => {
    const one = await managed().open();
    await one.writeRules('local.rules', rule(10, '', 'drop'));
    await one.manager.reload();
    await one.offer('v1', rule(1, '', 'pass'), rule(10), rule(11));
    expect(await one.manager.update()).toMatchObject({ outcome: 'changed', version: 'v1', detail: '3 signatures in force' });
    expect(one.loaded).toEqual(['pass 1', 'alert 11', 'drop 10']);
    expect((await one.manager.list({})).signatures.map(({ sid, enabled, file }) => [sid, enabled, file])).toEqual([
      [1, false, join(root, 'own.rules')], [1, true, 'rules/vendor.rules'], [10, false, 'rules/vendor.rules'], [11, true, 'rules/vendor.rules'], [10, true, join(root, 'directory/local.rules')],
    ]);
  });

  test('back and forward; a third version takes the place of the one before', async () => {
    const one = await managed().open();
    expect(await one.manager.rollback()).toMatchObject({ outcome: 'failed', detail: 'there is no version before' });
    for (const [version, sid] of [['v1', 11], ['v2', 12]] as const) {
      await one.offer(version, rule(sid));
      await one.manager.update();
    }
    expect(one.loaded).toEqual(['alert 1', 'alert 12']);
    // What lies in the directory now is not part of going back.
    await one.writeRules('new.rules', rule(50));
    expect(await one.manager.rollback()).toMatchObject({ outcome: 'changed', version: 'v1' });
    expect(one.loaded).toEqual(['alert 1', 'alert 11']);
    expect(await one.manager.update()).toMatchObject({ outcome: 'unchanged', version: 'v1' });
    expect(await one.manager.rollback()).toMatchObject({ outcome: 'changed', version: 'v2' });
    await one.offer('v3', rule(13));
    await one.manager.update();
    expect(one.manager.status().bundle).toMatchObject({ version: 'v3', previous: 'v2', lastFetch: { result: 'updated' } });
    expect((await readdir(join(root, 'store'))).filter((name) => !name.startsWith('.'))).toEqual(['v2', 'v3']);
  });

  test('of one version and other contents have their checksum in the name; without a version, only that', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11));
    await one.manager.update();
    await one.offer('v1', rule(12));
    expect((await one.manager.update()).version).toMatch(/^v1\+[0-9a-f]{12}$/);
    await one.offer('..', rule(13));
    expect((await one.manager.update()).version).toMatch(/^[0-9a-f]{12}$/);
  });

  test('a bad one is named and changes nothing; it is not tested again until it is another, or somebody asks', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11));
    await one.manager.update();
    await one.offer('v2', rule(12), rule(13, 'bogus; '));
    const refused = await one.manager.update();
    expect(refused).toMatchObject({ outcome: 'failed', version: 'v1', faults: [{ file: 'rules/vendor.rules', line: 2, sid: 13 }] });
    expect(one.manager.status()).toMatchObject({ bundle: { version: 'v1', lastFetch: { result: 'refused' } }, refused: { what: 'version v2 of the bundle' } });
    const { tests } = one;
    expect((await one.updates?.attempt(false, one.lifetime.signal, () => Promise.reject(new Error('not asked'))))?.outcome).toBe('failed');
    expect(one.tests).toBe(tests);
    await one.manager.update();
    expect(one.tests).toBe(tests + 1);
    expect(one.loaded).toEqual(['alert 1', 'alert 11']);
    await one.offer('v3', rule(14));
    expect(await one.manager.update()).toMatchObject({ outcome: 'changed', version: 'v3' });
    expect(one.manager.status().refused).toBeUndefined();
    expect(Object.fromEntries(one.manager.status().fetches)).toEqual({ updated: 2, refused: 3 });
  });

  test('that are no archive, not there or not as their checksum says change nothing', async () => {
    const one = await managed({ checksum: 'a'.repeat(64) }).open();
    expect(await one.manager.update()).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('ENOENT') });
    await one.offer('v1', rule(11));
    expect(await one.manager.update()).toMatchObject({ outcome: 'failed', detail: expect.stringMatching(/sha256 is [0-9a-f]{64}, not a{64}/) });
    await one.end();
    const two = await managed().open();
    await writeFile(two.bundlePath, 'no archive');
    expect(await two.manager.update()).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('neither tar.gz nor zip') });
    expect(two.manager.status()).toMatchObject({ bundle: { lastFetch: { result: 'refused' } }, refused: { what: 'the bundle', reason: expect.stringContaining('neither') } });
    expect(await two.manager.update()).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('neither tar.gz nor zip') });
  });

  test('a file that changes is taken at once, when nobody writes it any more', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11));
    one.manager.start(one.lifetime.signal);
    await expect.poll(() => one.loaded).toEqual(['alert 1', 'alert 11']);
    await one.offer('v2', rule(12));
    await expect.poll(() => one.loaded).toEqual(['alert 1', 'alert 12']);
    await appendFile(one.bundlePath, ''); // no other content
    await one.end();
    expect(one.manager.status().bundle?.nextFetch).toBeUndefined();
  });

  test('are let go when none is configured any more', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11));
    await one.manager.update();
    await one.end();
    const two = await managed({ bundle: false }).open();
    two.manager.start(two.lifetime.signal);
    await expect.poll(() => two.loaded).toEqual(['alert 1']);
    expect(await two.manager.update()).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('no bundle is configured') });
  });
});

describe('a selection', () => {
  test('is for bundle and directory, not for the agent\'s own, and stays over restarts and updates', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11, 'priority:1; '), rule(12));
    await one.manager.update();
    expect(await one.manager.select({ severities: [1], sids: [13], actions: { 11: 'drop', 13: 'reject' } })).toMatchObject({ outcome: 'changed' });
    expect(one.loaded).toEqual(['alert 1', 'drop 11']);
    await one.end();
    const two = await managed().open();
    expect(two.loaded).toEqual(['alert 1', 'drop 11']);
    await two.offer('v2', rule(11, 'priority:1; '), rule(12), rule(13));
    await two.manager.update();
    expect(two.loaded).toEqual(['alert 1', 'drop 11', 'reject 13']);
    expect((await two.manager.list({ enabled: false })).signatures.map(({ sid }) => sid)).toEqual([12]);
    expect((await two.manager.list({ severity: 1 })).signatures.map(({ sid }) => sid)).toEqual([11]);
    expect(await two.manager.select({})).toMatchObject({ outcome: 'changed' });
    expect(two.loaded).toEqual(['alert 1', 'alert 11', 'alert 12', 'alert 13']);
  });
});

/** The agent is killed before its n-th operation on the disk: that one and all that follow do not happen. */
class DyingDisk extends NodeDisk {
  count = 0;
  constructor(private readonly last: number) {
    super();
  }
  private step<T>(work: () => Promise<T>): Promise<T> {
    this.count += 1;
    return this.count > this.last ? Promise.reject(new Error('the agent is dead')) : work();
  }
  override makeDirectory = (path: string): Promise<void> => this.step(() => NodeDisk.prototype.makeDirectory.call(this, path));
  override write = (path: string, pieces: readonly Uint8Array[]): Promise<void> => this.step(() => NodeDisk.prototype.write.call(this, path, pieces));
  override copy = (from: string, to: string): Promise<void> => this.step(() => NodeDisk.prototype.copy.call(this, from, to));
  override replace = (path: string, text: string): Promise<void> => this.step(() => NodeDisk.prototype.replace.call(this, path, text));
  override move = (from: string, to: string): Promise<void> => this.step(() => NodeDisk.prototype.move.call(this, from, to));
  override remove = (path: string): Promise<void> => this.step(() => NodeDisk.prototype.remove.call(this, path));
}

describe('the agent killed at any step', () => {
  const OLD = ['alert 1', 'alert 12', 'alert 20'];
  test.each([
    ['update', ['alert 1', 'alert 13', 'alert 20'], 'v3'], ['rollback', ['alert 1', 'alert 11', 'alert 20'], 'v1'], ['reload', ['alert 1', 'alert 12', 'alert 21'], 'v2'],
  ] as const)('of %s: the last good set is in force, whole, and nothing is left lying', async (operation, fresh, version) => {
    const seen = new Set<string>();
    let died = true;
    for (let step = 0; died; step += 1) {
      await removeRoot(root);
      root = await makeRoot();
      const before = await managed().open();
      for (const [name, sid] of [['v1', 11], ['v2', 12]] as const) {
        await before.offer(name, rule(sid));
        await before.manager.update();
      }
      await before.writeRules('local.rules', rule(20));
      await before.manager.reload();
      expect(before.loaded).toEqual(OLD);
      await before.end();

      const disk = new DyingDisk(Number.POSITIVE_INFINITY);
      const victim = await managed({ disk }).open();
      const already = disk.count;
      Object.assign(disk, { last: already + step });
      if (operation === 'update') await victim.offer('v3', rule(13));
      if (operation === 'reload') await victim.writeRules('local.rules', rule(21));
      await victim.manager[operation]();
      died = disk.count > already + step;
      await victim.end();

      // A reload was not asked for any more: what the directory holds is not looked at.
      const after = await managed().open();
      const found = JSON.stringify(after.loaded);
      expect([JSON.stringify(OLD), JSON.stringify(fresh)]).toContain(found);
      seen.add(found);
      const { bundle } = after.manager.status();
      expect(bundle?.version).toBe(found === JSON.stringify(OLD) ? 'v2' : version);
      const kept = [bundle?.version ?? '', bundle?.previous ?? ''].toSorted();
      expect((await readdir(join(root, 'store'))).filter((name) => name !== '.fetched.json')).toEqual(['.in-force.json', '.sets', ...kept]);
      expect(await readdir(join(root, 'store/.sets'))).toHaveLength(1);
      // And it goes on from there.
      await after.offer('v9', rule(19));
      expect(await after.manager.update()).toMatchObject({ outcome: 'changed', version: 'v9' });
      await after.end();
    }
    expect(seen.size).toBe(2);
  });

  test('a record that is damaged, or a set that is gone, is made anew', async () => {
    const one = await managed().open();
    await one.offer('v1', rule(11));
    await one.manager.update();
    await one.end();
    await writeFile(join(root, 'store/.in-force.json'), '{"set":');
    expect((await managed().open()).loaded).toEqual(['alert 1']);
    await rm(join(root, 'store/.sets'), { recursive: true });
    expect((await managed().open()).loaded).toEqual(['alert 1']);
  });
});
