import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EngineConfig, type EngineRules } from '../../../../src/drivers/ids/engine-config.js';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dfw-config-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function config(rules: EngineRules | undefined, homeNetworks: readonly string[] = []): EngineConfig {
  const settings = { sensor: 's0', clusterId: 1, logDirectory: '/log', eveFile: '/log/eve.json', commandSocket: '/c', ruleFiles: ['/a/*.rules'], homeNetworks, statsInterval: 60 };
  return new EngineConfig({ settings, configFile: path.join(directory, 'engine/suricata.yaml'), tableDirectories: [], rules: () => rules });
}
const set = (number: number, tables = true): EngineRules => ({
  ruleFiles: Array.from({ length: number }, (_, index) => `/set/${index}.rules`), classificationFile: tables ? `/set/${number}/classification.config` : undefined, referenceFile: undefined,
});
const text = (): Promise<string> => readFile(path.join(directory, 'engine/suricata.yaml'), 'utf8');

test('the first file asks for no restart; nor do other signatures, other tables, none', async () => {
  expect(await config(undefined).write()).toBe(false);
  expect((await stat(path.join(directory, 'engine/suricata.yaml'))).mode & 0o777).toBe(0o640);
  for (const rules of [set(1), set(3), set(3, false), set(0), set(2)]) {
    expect(await config(rules).write()).toBe(false);
    for (const file of rules.ruleFiles) expect(await text()).toContain(file);
  }
});

test('anything else does, once', async () => {
  await config(set(2)).write();
  expect(await config(set(4), ['10.0.0.0/8']).write()).toBe(true);
  expect(await text()).toContain('10.0.0.0/8');
  expect(await config(set(5), ['10.0.0.0/8']).write()).toBe(false);
});

test('what is the same is not written again', async () => {
  await config(set(2)).write();
  const { ino } = await stat(path.join(directory, 'engine/suricata.yaml'));
  await config(set(2)).write();
  expect((await stat(path.join(directory, 'engine/suricata.yaml'))).ino).toBe(ino);
});
