/** A manager of signatures on a real directory, with an engine and a test of the engine that only read the files they are given. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineRules } from '../../../../../src/drivers/ids/engine-config.js';
import type { ReloadResult } from '../../../../../src/drivers/ids/engine.js';
import { BundleSource } from '../../../../../src/drivers/ids/signatures/bundle-source.js';
import { BundleUpdates } from '../../../../../src/drivers/ids/signatures/bundle-updates.js';
import { NodeDisk, type Disk } from '../../../../../src/drivers/ids/signatures/disk.js';
import type { TestResult } from '../../../../../src/drivers/ids/signatures/engine-test.js';
import { SignatureManager } from '../../../../../src/drivers/ids/signatures/manager.js';
import { ruleSpans } from '../../../../../src/drivers/ids/signatures/rule-text.js';
import { SetBuilder } from '../../../../../src/drivers/ids/signatures/set-builder.js';
import { VersionStore } from '../../../../../src/drivers/ids/signatures/version-store.js';
import { systemClock, type Clock } from '../../../../../src/platform/clock.js';
import type { Logger } from '../../../../../src/platform/logger.js';
import { tarGz } from '../../../../support/archives.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };

export const rule = (sid: number, rest = '', action = 'alert'): string => `${action} tcp any any -> any any (msg:"number ${sid}"; ${rest}sid:${sid};)\n`;

/** What an engine has after reading the files: action and sid of each rule that is in force. */
export async function loadedOf(rules: EngineRules | undefined): Promise<string[]> {
  const found: string[] = [];
  for (const file of rules?.ruleFiles ?? []) {
    for (const { enabled, text } of ruleSpans(await readFile(file, 'latin1'))) {
      if (enabled) found.push(`${text.split(' ')[0] ?? ''} ${/sid:(\d+)/.exec(text)?.[1] ?? ''}`);
    }
  }
  return found;
}

/** As the engine: a rule with the word "bogus" is refused, one with "later" is passed over. */
export async function scriptedTest({ ruleFiles }: EngineRules): Promise<TestResult> {
  const faults: TestResult['faults'][number][] = [];
  let [loaded, skipped] = [0, 0];
  for (const file of ruleFiles) {
    for (const { enabled, text, line } of ruleSpans(await readFile(file, 'latin1'))) {
      if (!enabled) continue;
      if (text.includes('bogus')) faults.push({ file, line, sid: Number(/sid:(\d+)/.exec(text)?.[1]), reason: 'unknown rule keyword' });
      else if (text.includes('later')) skipped += 1;
      else loaded += 1;
    }
  }
  return { passed: faults.length === 0, loaded, failed: faults.length, skipped, faults, reason: '' };
}

export interface ManagedOptions { readonly disk?: Disk; readonly allowedFailures?: number; readonly bundle?: boolean; readonly clock?: Clock; readonly intervalMs?: number; readonly checksum?: string }

export class Managed {
  readonly lifetime = new AbortController();
  readonly manager: SignatureManager;
  readonly store: VersionStore;
  readonly updates: BundleUpdates | undefined;
  /** What the engine has. */
  loaded: string[] = [];
  reloads = 0;
  tests = 0;
  engineAnswer: ReloadResult | undefined;
  testAnswer: Partial<TestResult> = {};

  constructor(readonly root: string, options: ManagedOptions = {}) {
    const { disk = new NodeDisk(), allowedFailures = 0, bundle = true, clock = systemClock, intervalMs = 0, checksum = '' } = options;
    this.store = new VersionStore(join(root, 'store'), disk);
    const source = new BundleSource({ bundle: this.bundlePath, checksum, ca: '', largest: 1 << 20, stallMs: 1_000, timeoutMs: 1_000 });
    this.updates = bundle ? new BundleUpdates(source, this.store, { intervalMs, lookMs: 20, random: () => 0.5 }, clock, silent) : undefined;
    this.manager = new SignatureManager({
      store: this.store, updates: this.updates, directory: this.directory, allowedFailures, clock, log: silent,
      builder: new SetBuilder({ directory: this.directory, ownFiles: [join(root, 'own.rules')], packageDirectory: join(root, 'package') }, this.store),
      test: {
        run: async (files) => {
          this.tests += 1;
          return { ...await scriptedTest(files), ...this.testAnswer };
        },
      },
      engine: {
        settled: () => Promise.resolve('running'),
        reload: async () => {
          this.reloads += 1;
          if (this.engineAnswer !== undefined) return this.engineAnswer;
          this.loaded = await loadedOf(this.manager.load);
          return { reloaded: true, detail: '', rules: { loaded: this.loaded.length, failed: 0, skipped: 0 } };
        },
      },
    });
  }

  get directory(): string {
    return join(this.root, 'directory');
  }

  get bundlePath(): string {
    return join(this.root, 'bundle.tar.gz');
  }

  /** The engine starts with what the manager says. */
  async open(): Promise<this> {
    await this.manager.open(this.lifetime.signal);
    this.loaded = await loadedOf(this.manager.load);
    return this;
  }

  async writeRules(name: string, ...rules: readonly string[]): Promise<void> {
    await writeFile(join(this.directory, name), rules.join(''));
  }

  /** Puts a bundle where it is looked for. */
  async offer(version: string, ...rules: readonly string[]): Promise<void> {
    await writeFile(this.bundlePath, await tarGz([{ name: 'rules/vendor.rules', content: rules.join('') }, { name: 'version', content: version }]));
  }

  async end(): Promise<void> {
    this.lifetime.abort();
    await this.manager.stop();
  }
}

/** A directory with own rule 1, and nothing else yet. */
export async function makeRoot(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'dfw-signatures-'));
  await mkdir(join(root, 'directory'));
  await mkdir(join(root, 'package'));
  await writeFile(join(root, 'own.rules'), rule(1));
  return root;
}

export function removeRoot(root: string): Promise<void> {
  return rm(root, { recursive: true, force: true });
}
