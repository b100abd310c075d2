import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesLeftOut, NOT_ON_OVS, testsLeftOut } from '../support/datapaths.js';
import { FEW_SCENARIOS, ONLY_FROM_FILES, SCENARIOS } from '../support/sources.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

describe('what is not tried on Open vSwitch', () => {
  it('leaves nothing out on nftables', () => {
    expect(filesLeftOut('nftables')).toEqual([]);
    for (const { file } of NOT_ON_OVS) expect(testsLeftOut('nftables', file).size).toBe(0);
  });

  it('is a whole file or some of its tests', () => {
    expect(filesLeftOut('ovs')).toContain('test/e2e/drift.test.ts');
    expect(filesLeftOut('ovs')).not.toContain('test/e2e/restart.test.ts');
    expect([...testsLeftOut('ovs', '/anywhere/test/e2e/restart.test.ts').keys()]).toContain('survives flush ruleset by others');
    expect(testsLeftOut('ovs', '/anywhere/test/e2e/seed.test.ts').size).toBe(0);
  });

  it.each(NOT_ON_OVS.map((entry) => [entry.file, entry.reason, entry] as const))('%s: %s: exists, and is in the documentation', (file, reason, { kind }) => {
    expect(read(file)).toContain('it(');
    if (kind !== 'elsewhere') expect(read('docs/open-vswitch.md')).toContain(reason);
  });
});

describe('what is tried with each source', () => {
  it('is every scenario about policies, and others that are there', () => {
    const there = readdirSync(path.join(ROOT, 'test/e2e')).map((name) => `test/e2e/${name}`);
    expect(SCENARIOS.filter((file) => !there.includes(file))).toEqual([]);
    expect(there.filter((file) => file.includes('/policy-') && !SCENARIOS.includes(file))).toEqual([]);
    expect(FEW_SCENARIOS.filter((file) => !SCENARIOS.includes(file))).toEqual([]);
  });

  it('leaves out tests of files only', () => {
    for (const { file } of ONLY_FROM_FILES) expect(SCENARIOS).toContain(file);
  });
});
