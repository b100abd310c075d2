import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/**
 * The lint configuration is what keeps the layers apart, so it is tested like code: every case is a file written into a copy
 * of the project's skeleton, and the real oxlint must refuse (or accept) it.
 */
const ROOT = path.resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

interface Case { readonly file: string; readonly text: string; readonly refusedBy: readonly string[] }
interface Diagnostic { readonly code: string; readonly filename: string }

/** Which layers each layer may import (DESIGN.md); the same table the configuration was written from. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  model: [],
  platform: ['model'],
  native: ['model'],
  compile: ['model'],
  reconcile: ['model', 'platform'],
  'drivers/nftables': ['model', 'platform', 'native', 'compile'],
  connections: ['model', 'native', 'platform', 'compile'],
  sources: ['model', 'platform'],
  discovery: ['model', 'platform'],
  dns: ['model', 'platform'],
  api: ['model', 'platform'],
  cli: ['model', 'api', 'platform'],
  app: ['model', 'platform', 'native', 'compile', 'reconcile', 'drivers/nftables', 'drivers/mirror', 'connections', 'sources', 'discovery', 'dns', 'api', 'cli'],
};
const LAYERS = [...Object.keys(MAY_IMPORT), 'drivers/mirror'];
const NO_IMPORT = 'eslint(no-restricted-imports)';
const NO_GLOBAL = 'eslint(no-restricted-globals)';

function importCases(): Case[] {
  const cases: Case[] = [];
  for (const [layer, allowed] of Object.entries(MAY_IMPORT)) {
    for (const target of LAYERS.filter((other) => other !== layer)) {
      for (const folder of [layer, `${layer}/part`]) {
        const up = path.relative(`src/${folder}`, `src/${target}`);
        const name = target.replace('/', '-');
        cases.push({
          file: `src/${folder}/to-${name}.ts`,
          text: `import type { Thing } from '${up}/thing.js';\nexport type Alias = Thing;\n`,
          refusedBy: allowed.includes(target) ? [] : [NO_IMPORT],
        });
      }
    }
    cases.push({
      file: `src/${layer}/to-entry.ts`,
      text: `import '${path.relative(`src/${layer}`, 'src')}/main.js';\n`,
      refusedBy: [NO_IMPORT],
    });
  }
  return cases;
}

const body = (statement: string): string => `export async function subject(): Promise<number> {\n  return Promise.resolve(1);\n}\n${statement}\n`;

const RULE_CASES: readonly Case[] = [
  { file: 'src/model/io.ts', text: `import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n`, refusedBy: [NO_IMPORT] },
  { file: 'src/compile/io.ts', text: `import { readFile } from 'node:fs/promises';\nexport const read = readFile;\n`, refusedBy: [NO_IMPORT] },
  { file: 'src/compile/hash.ts', text: `import { createHash } from 'node:crypto';\nexport const hash = createHash;\n`, refusedBy: [] },
  { file: 'src/drivers/nftables/tool.ts', text: `import { spawn } from 'node:child_process';\nexport const start = spawn;\n`, refusedBy: [NO_IMPORT] },
  { file: 'src/drivers/ids/engine.ts', text: `import { spawn } from 'node:child_process';\nexport const start = spawn;\n`, refusedBy: [] },
  { file: 'src/drivers/ids/other.ts', text: `import type { Thing } from '../mirror/thing.js';\nexport type Alias = Thing;\n`, refusedBy: [NO_IMPORT] },
  { file: 'src/platform/env.ts', text: `export const home = (): string | undefined => process.env['HOME'];\n`, refusedBy: [NO_GLOBAL] },
  { file: 'src/app/env.ts', text: `export const home = (): string | undefined => process.env['HOME'];\n`, refusedBy: [NO_GLOBAL] },
  { file: 'src/platform/argv.ts', text: `import { argv } from 'node:process';\nexport const words = argv;\n`, refusedBy: [NO_IMPORT] },
  { file: 'src/main.ts', text: `import { start } from './app/start.js';\nstart(process.argv);\n`, refusedBy: [] },
  { file: 'src/engine-alive.ts', text: `process.exitCode = process.argv.length;\n`, refusedBy: [] },
  { file: 'src/ctl.ts', text: `import { start } from './app/start.js';\nstart(process.argv);\n`, refusedBy: [] },
  { file: 'src/app/floating.ts', text: body('export function caller(): void {\n  subject();\n}'), refusedBy: ['typescript(no-floating-promises)'] },
  { file: 'src/app/misused.ts', text: body('export const caller = (list: number[]): void => list.forEach(subject);'), refusedBy: ['typescript(no-misused-promises)'] },
  {
    file: 'src/app/switch.ts',
    text: `export function word(action: 'accept' | 'drop'): string {\n  switch (action) {\n    case 'accept':\n      return 'yes';\n  }\n  return '';\n}\n`,
    refusedBy: ['typescript(switch-exhaustiveness-check)'],
  },
  { file: 'src/app/throw.ts', text: `export function fail(): never {\n  throw 'text';\n}\n`, refusedBy: ['typescript(only-throw-error)'] },
  { file: 'src/app/any.ts', text: `export const size = (value: any[]): number => value.length;\n`, refusedBy: ['typescript(no-explicit-any)'] },
  { file: 'src/app/bang.ts', text: `export const first = (list: string[]): string => list[0]!;\n`, refusedBy: ['typescript(no-non-null-assertion)'] },
  { file: 'src/app/unsafe.ts', text: `export const name = (text: string): string => JSON.parse(text).name;\n`, refusedBy: ['typescript(no-unsafe-member-access)', 'typescript(no-unsafe-return)'] },
  { file: 'src/app/type-import.ts', text: `import { Thing } from '../model/thing.js';\nexport type Alias = Thing;\n`, refusedBy: ['typescript(consistent-type-imports)'] },
  { file: 'src/app/unused.ts', text: `export function f(): number {\n  const left = 1;\n  return 2;\n}\n`, refusedBy: ['eslint(no-unused-vars)'] },
  { file: 'src/app/swallow.ts', text: `export function f(act: () => void): void {\n  try {\n    act();\n  } catch {}\n}\n`, refusedBy: ['eslint(no-empty)'] },
  { file: 'src/app/print.ts', text: `export function f(): void {\n  console.log('x');\n}\n`, refusedBy: ['eslint(no-console)'] },
  { file: 'src/app/default.ts', text: `export default 1;\n`, refusedBy: ['import(no-default-export)'] },
  { file: 'src/app/cycle-a.ts', text: `import { b } from './cycle-b.js';\nexport const a = (): number => b();\n`, refusedBy: ['import(no-cycle)'] },
  { file: 'src/app/cycle-b.ts', text: `import { a } from './cycle-a.js';\nexport const b = (): number => a();\n`, refusedBy: ['import(no-cycle)'] },
  { file: 'src/app/long.ts', text: `${Array.from({ length: 601 }, (_, index) => `export const line${index} = ${index};`).join('\n')}\n`, refusedBy: ['eslint(max-lines)'] },
  { file: 'src/app/full.ts', text: `${Array.from({ length: 600 }, (_, index) => `export const line${index} = ${index};`).join('\n')}\n`, refusedBy: [] },
];

let folder = '';
let found: ReadonlyMap<string, ReadonlySet<string>> = new Map();

async function put(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
  await writeFile(path.join(folder, file), text);
}

/** oxlint exits 1 when it found something; its JSON is on stdout either way. */
async function lint(): Promise<Diagnostic[]> {
  const oxlint = path.join(ROOT, 'node_modules/.bin/oxlint');
  const output = await run(oxlint, ['--type-aware', '--deny-warnings', '-f', 'json', 'src'], { cwd: folder, maxBuffer: 64 << 20 }).catch(
    (error: unknown) => {
      if (error instanceof Error && 'stdout' in error && typeof error.stdout === 'string') return { stdout: error.stdout };
      throw error;
    },
  );
  const report = JSON.parse(output.stdout) as { diagnostics: Diagnostic[]; number_of_files: number };
  expect(report.number_of_files).toBeGreaterThan(LAYERS.length);
  return report.diagnostics;
}

describe('lint configuration', () => {
  const cases = [...importCases(), ...RULE_CASES];

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'dfw-lint-'));
    for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json']) await copyFile(path.join(ROOT, name), path.join(folder, name));
    await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
    for (const layer of LAYERS) await put(`src/${layer}/thing.ts`, 'export interface Thing { readonly name: string }\n');
    await put('src/app/start.ts', 'export function start(words: readonly string[]): number {\n  return words.length;\n}\n');
    for (const { file, text } of cases) await put(file, text);
    const byFile = new Map<string, Set<string>>();
    for (const { filename, code } of await lint()) byFile.set(filename, (byFile.get(filename) ?? new Set()).add(code));
    found = byFile;
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const refusals = (file: string): string[] => [...(found.get(file) ?? [])].toSorted();

  it.each(Object.keys(MAY_IMPORT))('keeps the imports of %s to its row of the table', (layer) => {
    const ofLayer = importCases().filter(({ file }) => file.startsWith(`src/${layer}/`));
    expect(ofLayer.length).toBeGreaterThan(LAYERS.length);
    const actual = ofLayer.map(({ file }) => ({ file, refusedBy: refusals(file) }));
    expect(actual).toEqual(ofLayer.map(({ file, refusedBy }) => ({ file, refusedBy })));
  });

  it.each(RULE_CASES.filter(({ refusedBy }) => refusedBy.length > 0))('refuses $file', ({ file, refusedBy }) => {
    expect(refusals(file)).toEqual([...refusedBy].toSorted());
  });

  it.each(RULE_CASES.filter(({ refusedBy }) => refusedBy.length === 0))('accepts $file', ({ file }) => {
    expect(refusals(file)).toEqual([]);
  });
});
