import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { AgentError } from '../model/errors.js';
import type { NativeBinding } from './binding.js';

const EXPORTS: readonly (keyof NativeBinding)[] = [
  'NftSocket',
  'NftMonitor',
  'FlowTable',
  'NflogReader',
  'PacketSender',
  'PacketRing',
  'PacketCapture',
  'LinkSocket',
  'RouteSocket',
  'openTap',
  'closeTap',
  'peerCredentials',
  'sdNotify',
  'streamFlows',
  'AddressSocket',
  'endOtherTranslations',
  'monotonicMs',
];

export interface LoadNativeOptions {
  /** Load the build with address and undefined-behaviour sanitizers (scripts/build-sanitized). Default false. */
  readonly sanitized?: boolean;
  /** The package's folder (holds build/). Default: two levels above this file. */
  readonly root?: string;
}

/**
 * Loads the native addon. Call it when the addon is needed, not at import: everything that does not touch the kernel works
 * without it. Loading twice gives the same object.
 * @throws AgentError E_NATIVE when no build exists (lists the places tried), when the one found does not load, or lacks a part of the contract.
 */
export function loadNative(options: LoadNativeOptions = {}): NativeBinding {
  const root = options.root ?? join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const tried = options.sanitized === true
    ? [join(root, 'build-sanitize', 'Release', 'dfw.node')]
    : [join(root, 'build', 'Release', 'dfw.node'), join(root, 'build', 'Debug', 'dfw.node')];
  const path = tried.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new AgentError('E_NATIVE', `the native addon is not built (tried ${tried.join(', ')}): run scripts/setup`, { context: { tried } });
  }
  let loaded: unknown;
  try {
    loaded = createRequire(import.meta.url)(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('E_NATIVE', `the native addon does not load: ${reason}: run scripts/setup`, { object: path, cause, context: { tried } });
  }
  if (!isNativeBinding(loaded)) {
    throw new AgentError('E_NATIVE', 'the native addon does not match this version of the agent: run scripts/setup', {
      object: path,
      context: { tried, missing: missingExports(loaded) },
    });
  }
  return loaded;
}

function missingExports(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [...EXPORTS];
  const exports = new Map<string, unknown>(Object.entries(value));
  return EXPORTS.filter((name) => typeof exports.get(name) !== 'function');
}

function isNativeBinding(value: unknown): value is NativeBinding {
  return missingExports(value).length === 0;
}
