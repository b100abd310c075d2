import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readManifests } from '../../../src/cli/manifests.js';
import { isAgentError } from '../../../src/model/errors.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dfw-manifests-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const stdin = (text: string): Readable => Readable.from([Buffer.from(text)]);
const nothing = (): Readable => stdin('');

test('several documents, empty ones left out, lists opened, also inside each other', async () => {
  const path = file('a.yaml', '# only a comment\n---\na: 1\n---\n\n---\nkind: List\nitems:\n- b: 2\n- {kind: List, items: [{c: 3}, null]}\n');
  expect(await readManifests([path], nothing())).toEqual([{ document: { a: 1 } }, { document: { b: 2 } }, { document: { c: 3 } }]);
});

test('JSON, and addresses that older YAML would take for numbers', async () => {
  const path = file('a.json', '{"kind":"Pod","n":1.5}');
  const yaml = file('b.yaml', 'mac: 0a:58:0a:62:00:02\nport: 22\nname: 1e3x\non: yes\n');
  expect(await readManifests([path, yaml], nothing())).toEqual([
    { document: { kind: 'Pod', n: 1.5 } }, { document: { mac: '0a:58:0a:62:00:02', port: 22, name: '1e3x', on: 'yes' } },
  ]);
});

test('a directory by file name, other files and sub-directories left out', async () => {
  file('b.yml', 'b: 1');
  file('a.rules', 'ruleset x {\n}\n');
  file('c.txt', 'c: 1');
  file('.hidden.yaml', 'h: 1');
  mkdirSync(join(folder, 'sub'));
  expect(await readManifests([folder], nothing())).toEqual([{ rulesText: 'ruleset x {\n}\n', name: 'a.rules' }, { document: { b: 1 } }]);
});

test('stdin is YAML, or a rules text when it begins like one', async () => {
  expect(await readManifests(['-'], stdin('a: 1'))).toEqual([{ document: { a: 1 } }]);
  const rules = '# kept from web-sv-01a\n\nruleset domain-c25 {\n}\n';
  expect(await readManifests(['-'], stdin(rules))).toEqual([{ rulesText: rules, name: 'stdin' }]);
});

test('errors name the file and the place', async () => {
  const bad = file('bad.yaml', 'a: 1\nb: [1, 2\nc: 3\n');
  await expect(readManifests([bad], nothing())).rejects.toSatisfy((error) => isAgentError(error, 'E_PARSE') && error.object === bad && /^line \d+$/u.test(error.path ?? ''));
  await expect(readManifests([join(folder, 'missing')], nothing())).rejects.toSatisfy((error) => isAgentError(error, 'E_IO') && /no such file/u.test(error.message));
  await expect(readManifests([file('empty.yaml', '')], nothing())).rejects.toSatisfy((error) => isAgentError(error, 'E_USAGE'));
  const duplicate = file('dup.yaml', 'a: 1\na: 2\n');
  await expect(readManifests([duplicate], nothing())).rejects.toSatisfy((error) => isAgentError(error, 'E_PARSE'));
});

test('an alias bomb is refused', async () => {
  const levels = Array.from({ length: 12 }, (_, level) => `l${level + 1}: &l${level + 1} [${Array.from({ length: 10 }, () => `*l${level}`).join(', ')}]`);
  const path = file('bomb.yaml', `l0: &l0 x\n${levels.join('\n')}\n`);
  await expect(readManifests([path], nothing())).rejects.toSatisfy((error) => isAgentError(error, 'E_PARSE'));
});
