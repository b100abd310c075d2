/** The engine's own test of signatures, with the real engine. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EngineTest, type EngineTestOptions, type TestResult } from '../../src/drivers/ids/signatures/engine-test.js';
import { ChildProcessRunner } from '../../src/drivers/ids/process-runner.js';
import { systemClock } from '../../src/platform/clock.js';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dfw-engine-test-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const file = (): string => join(directory, 'a.rules');

async function run(text: string, options: Partial<EngineTestOptions> = {}, signal = new AbortController().signal): Promise<TestResult> {
  await writeFile(file(), text);
  const settings = {
    sensor: 'none0', clusterId: 7, logDirectory: directory, eveFile: join(directory, 'eve.json'), commandSocket: join(directory, 'socket'), ruleFiles: [], homeNetworks: [], statsInterval: 60,
  };
  const engine = new EngineTest({ program: 'suricata', settings, scratch: join(directory, 'scratch'), timeoutMs: 60_000, memory: 4 * 1024 ** 3, ...options }, { runner: new ChildProcessRunner(process.env['PATH'] ?? ''), clock: systemClock });
  const result = await engine.run({ ruleFiles: [file()], classificationFile: '/etc/suricata/classification.config', referenceFile: undefined }, signal);
  // Neither its log nor its alerts are left, and it never touched the ones of the engine that runs.
  expect(await readdir(directory)).toEqual(['a.rules']);
  return result;
}
const rule = (sid: number, options = ''): string => `alert tcp any any -> any any (msg:"number ${sid}"; ${options}content:"n${sid}"; sid:${sid};)\n`;

describe('a set of signatures', () => {
  test('that is good passes, with its counts', async () => {
    expect(await run(rule(1) + rule(2, 'requires: version >= 99; ') + rule(3))).toEqual({ passed: true, loaded: 2, failed: 0, skipped: 1, faults: [], reason: '' });
    expect(await run('')).toEqual({ passed: true, loaded: 0, failed: 0, skipped: 0, faults: [], reason: '' });
  });

  test('with faults names each, as the engine counts lines', async () => {
    const result = await run([rule(1), '# comment \\\n', rule(2, 'bogus:1; '), 'alert tcp any any -> any any (msg:"x"; \\\n  bogus; \\\n  sid:3;)\n', rule(1), rule(4), 'alert tcp any any -> any any (msg:"none";)\n'].join(''));
    expect(result).toEqual({
      passed: false, loaded: 2, failed: 4, skipped: 0, reason: '', faults: [
        { file: file(), line: 3, sid: 2, reason: "unknown rule keyword 'bogus'." }, { file: file(), line: 4, sid: 3, reason: "unknown rule keyword 'bogus'." },
        { file: file(), line: 7, sid: 1, reason: 'duplicate of an earlier signature' }, { file: file(), line: 9, reason: expect.stringContaining('sid') },
      ],
    });
  });

  test('with a fault in a signature longer than the engine\'s messages names it too', async () => {
    const long = Array.from({ length: 250 }, (_, index) => `content:"${String(index).padStart(5, '0')}é"; `).join('');
    expect(await run(rule(1) + rule(77, long) + rule(78, `${long}bogus:1; `))).toMatchObject({
      passed: false, loaded: 2, failed: 1, faults: [{ file: file(), line: 3, sid: 78, reason: "unknown rule keyword 'bogus'." }],
    });
  });
});

describe('a test that cannot be done', () => {
  test('says why', async () => {
    expect(await run(rule(1), { program: '/nowhere/suricata' })).toMatchObject({ passed: false, failed: 0, reason: 'the signatures cannot be tested: /nowhere/suricata is not installed' });
    expect(await run(rule(1), { program: '/bin/false' })).toMatchObject({ passed: false, reason: 'the engine ended with code 1 at the test' });
    // Not even its libraries have room.
    expect((await run(rule(1), { memory: 16 << 20 })).reason).toMatch(/^the engine ended with code 127 at the test: .*libraries/);
    const heavy = Array.from({ length: 20_000 }, (_, index) => rule(index + 1, `content:"${index}${'x'.repeat(30)}"; `)).join('');
    expect(await run(heavy, { memory: 96 << 20 })).toMatchObject({ passed: false });
  });

  test('is ended when it takes too long, or nobody wants it any more', async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => rule(index + 1)).join('');
    expect(await run(many, { timeoutMs: 50 })).toMatchObject({ passed: false, reason: 'the engine did not load the signatures within 0.05 s' });
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    await expect(run(many, {}, abort.signal)).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await expect(run(many, {}, AbortSignal.abort())).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });
});
