/** The descriptions of proto/, as scripts/gen-schema wrote them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AgentError } from '../model/errors.js';
import type { MessageDescription } from './protobuf.js';

export interface MethodDescription { readonly requestType: string; readonly responseType: string; readonly requestStream?: boolean; readonly responseStream?: boolean }
export interface ServiceDescription { readonly methods: Readonly<Record<string, MethodDescription>> }
/** Messages and services by name. */
export type PackageDescription = Readonly<Record<string, MessageDescription & Partial<ServiceDescription>>>;

/** `dfw/v1/agent` → the file's path: src/platform, dist/platform and dist/agentctl lie equally deep. */
export function descriptionFile(name: string): string {
  return fileURLToPath(new URL(`../../proto/${name}.json`, import.meta.url));
}

/** The package of one description. Throws E_INTERNAL when it is not there, or has none of the `expected` names. */
export function readDescription(path: string, packageName: string, expected: string): PackageDescription {
  try {
    let described: unknown = JSON.parse(readFileSync(path, 'utf8'));
    for (const name of packageName.split('.')) described = member(member(described, 'nested'), name);
    const nested = member(described, 'nested');
    if (isPackage(nested, expected)) return nested;
    throw new Error(`no ${packageName}.${expected}`);
  } catch (cause) {
    throw new AgentError('E_INTERNAL', 'the description of messages cannot be read; the installation is incomplete', { object: path, cause });
  }
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** The rest is as scripts/gen-schema wrote it. */
function isPackage(value: unknown, expected: string): value is PackageDescription {
  return member(value, expected) !== undefined;
}
