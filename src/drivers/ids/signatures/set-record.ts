/** What is noted of a set of rule files beside it: .set.json. */
import { join } from 'node:path';
import { SIGNATURE_ACTIONS, type SignatureAction, type SignatureSelection } from '../../../model/signature.js';
import { isTexts, parseRecord, type VersionStore } from './version-store.js';

export interface SetFile {
  /** Below the set's directory. */
  readonly path: string;
  /** As users know it: absolute, or a path in the bundle. */
  readonly origin: string;
  readonly from: 'own' | 'bundle' | 'directory';
}
export interface SetRecord {
  /** In the order in which the engine reads them. */
  readonly files: readonly SetFile[];
  readonly localHash: string;
  readonly selection: SignatureSelection;
  /** ISO time of the test that it passed. */
  readonly testedAt: string;
  /** What the test said. */
  readonly loaded: number;
  /** Signatures that were refused and commented out before it passed. */
  readonly failed: number;
  readonly skipped: number;
}

const FILE = '.set.json';

export async function writeSetRecord(store: VersionStore, set: number, record: SetRecord): Promise<void> {
  await store.disk.replace(join(store.setDirectory(set), FILE), `${JSON.stringify(record)}\n`);
}

/** undefined when there is none, or it cannot be understood. */
export async function readSetRecord(store: VersionStore, set: number): Promise<SetRecord | undefined> {
  const record = parseRecord(await store.disk.read(join(store.setDirectory(set), FILE)));
  const { files, localHash, selection, testedAt, loaded, failed, skipped } = record ?? {};
  if (!Array.isArray(files) || !files.every(isSetFile) || typeof localHash !== 'string' || typeof testedAt !== 'string') return undefined;
  if (typeof loaded !== 'number' || typeof failed !== 'number' || typeof skipped !== 'number') return undefined;
  return { files, localHash, selection: parseSelection(selection), testedAt, loaded, failed, skipped };
}

function isSetFile(value: unknown): value is SetFile {
  if (typeof value !== 'object' || value === null || !('path' in value) || !('origin' in value) || !('from' in value)) return false;
  return typeof value.path === 'string' && typeof value.origin === 'string' && (value.from === 'own' || value.from === 'bundle' || value.from === 'directory');
}

/** Fields of other types are left out. */
function parseSelection(value: unknown): SignatureSelection {
  if (typeof value !== 'object' || value === null) return {};
  const numbers = (key: string): readonly number[] | undefined => {
    const list: unknown = Reflect.get(value, key);
    return Array.isArray(list) && list.every((each) => typeof each === 'number') ? list : undefined;
  };
  const categories: unknown = Reflect.get(value, 'categories');
  const [severities, sids, disabledSids] = [numbers('severities'), numbers('sids'), numbers('disabledSids')];
  const actions = parseActions(Reflect.get(value, 'actions'));
  const anyOf: unknown = Reflect.get(value, 'anyOf');
  return {
    ...(severities === undefined ? {} : { severities }), ...(isTexts(categories) ? { categories } : {}),
    ...(sids === undefined ? {} : { sids }), ...(disabledSids === undefined ? {} : { disabledSids }),
    ...(Array.isArray(anyOf) && anyOf.length > 0 ? { anyOf: anyOf.map(parseSelection) } : {}), ...(actions === undefined ? {} : { actions }),
  };
}

function parseActions(value: unknown): Readonly<Record<number, SignatureAction>> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.fromEntries(Object.entries(value).flatMap(([sid, given]) => {
    const action = SIGNATURE_ACTIONS.find((known) => known === given);
    return action === undefined ? [] : [[sid, action] as const];
  }));
}
