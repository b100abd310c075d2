/** Every benchmark runs and writes what it measured; its figures at these sizes mean nothing and are not looked at. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { command } from '../support/command.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface WrittenRow {
  readonly measure: string;
  readonly unit: string;
  readonly ours: { readonly count: number; readonly median: number };
  readonly peer?: { readonly name: string; readonly median: number };
  readonly ratio?: { readonly median: number };
}

/** What a row must be a positive number of, and whether the bench compares with a peer. */
const BENCHES = [
  { name: 'program', units: ['ms'], compares: true },
  { name: 'update', units: ['ms'], compares: true },
  { name: 'classify', units: ['ns/packet', '/s'], compares: true },
  { name: 'flows', units: ['ms'], compares: true },
  { name: 'memory', units: ['MB', 'ms'], compares: false },
  { name: 'mirror', units: ['Mbit/s', 'ms'], compares: true },
] as const;

describe('npm run bench', () => {
  for (const { name, units, compares } of BENCHES) {
    it(`${name} --quick prints a table and writes its JSON`, async () => {
      const path = join(ROOT, 'bench/results/quick', `${name}.json`);
      await rm(path, { force: true });
      const result = await command(join(ROOT, 'scripts/bench'), [name, '--quick'], { timeoutMs: 150_000 });
      expect({ code: result.code, stderr: result.code === 0 ? '' : result.stderr }).toEqual({ code: 0, stderr: '' });
      const report = JSON.parse(await readFile(path, 'utf8')) as { bench: string; rows: WrittenRow[]; machine: { kernel: string } };
      expect(report.bench).toBe(name);
      expect(report.machine.kernel).not.toBe('');
      expect(report.rows.length).toBeGreaterThan(0);
      for (const row of report.rows) {
        expect(result.stdout).toContain(row.measure);
        expect(row.ours.count).toBeGreaterThan(0);
      }
      for (const row of report.rows.filter(({ unit }) => units.some((one) => one === unit))) expect(row.ours.median).toBeGreaterThan(0);
      expect(report.rows.some(({ peer, ratio }) => peer !== undefined && peer.median > 0 && ratio !== undefined && ratio.median > 0)).toBe(compares);
    });
  }

  it('refuses a benchmark that does not exist', async () => {
    const result = await command(join(ROOT, 'scripts/bench'), ['speed']);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('program, compile, churn, update, classify, flows, memory');
  });
});
