/** Puts the parts of the signatures together, with the figures that are the same everywhere. */
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import type { ProcessRunner } from '../process-runner.js';
import type { SuricataSettings } from '../suricata-config.js';
import { BundleSource } from './bundle-source.js';
import { BundleUpdates } from './bundle-updates.js';
import { NodeDisk } from './disk.js';
import { EngineTest } from './engine-test.js';
import { SignatureManager, type ReloadableEngine } from './manager.js';
import { SetBuilder } from './set-builder.js';
import { VersionStore } from './version-store.js';

export interface SignatureOptions {
  /** Directory of versions and sets; ours alone. */
  readonly store: string;
  /** Directory of the tests; ours alone. */
  readonly scratch: string;
  readonly directory: string;
  readonly ownFiles: readonly string[];
  readonly packageDirectory: string;
  readonly allowedFailures: number;
  readonly bundle: { readonly source: string; readonly checksum: string; readonly intervalSeconds: number; readonly ca: string } | undefined;
  readonly program: string;
  readonly settings: SuricataSettings;
  readonly engine: ReloadableEngine;
}

/** 40,000 signatures take 13 seconds of a processor; at the lowest priority it may be long before the test gets them. */
const TEST_LIMIT_MS = 600_000;
/** 40,000 signatures take 260 MB. */
const TEST_MEMORY = 2 * 1024 ** 3;
const LARGEST_ARCHIVE = 256 << 20;
const STALL_MS = 30_000;
const FETCH_LIMIT_MS = 600_000;
const LOOK_MS = 1_000;

export function buildSignatures(options: SignatureOptions, { runner, clock, log }: { readonly runner: ProcessRunner; readonly clock: Clock; readonly log: Logger }): SignatureManager {
  const store = new VersionStore(options.store, new NodeDisk());
  const { bundle } = options;
  if (bundle !== undefined && isPlain(bundle.source) && (bundle.checksum === '' || isPlain(bundle.checksum))) {
    log.warn('ids.bundle.unprotected', { reason: 'whoever is on the way can change a bundle that comes over http without a checksum from elsewhere' });
  }
  const updates = bundle === undefined ? undefined : new BundleUpdates(
    new BundleSource({ bundle: bundle.source, checksum: bundle.checksum, ca: bundle.ca, largest: LARGEST_ARCHIVE, stallMs: STALL_MS, timeoutMs: FETCH_LIMIT_MS }),
    store, { intervalMs: bundle.intervalSeconds * 1_000, lookMs: LOOK_MS, random: Math.random }, clock, log,
  );
  return new SignatureManager({
    store, updates, clock, log, engine: options.engine, directory: options.directory, allowedFailures: options.allowedFailures,
    builder: new SetBuilder({ directory: options.directory, ownFiles: options.ownFiles, packageDirectory: options.packageDirectory }, store),
    test: new EngineTest({ program: options.program, settings: options.settings, scratch: options.scratch, timeoutMs: TEST_LIMIT_MS, memory: TEST_MEMORY }, { runner, clock }),
  });
}

function isPlain(source: string): boolean {
  return /^http:\/\//i.test(source);
}
