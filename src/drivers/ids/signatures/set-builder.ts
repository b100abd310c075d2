/** Makes the set of rule files that the engine loads: the agent's own, those of a bundle and those of the directory of signatures, under a selection. */
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Signature, SignatureSelection } from '../../../model/signature.js';
import type { SignatureFaultView } from '../../../model/views.js';
import { Turns } from '../../../platform/turns.js';
import type { EngineRules } from '../engine-config.js';
import { parseClassification } from './classification.js';
import { decisionOf, editRules, type Decision } from './rule-edits.js';
import type { SetFile, SetRecord } from './set-record.js';
import type { BundleManifest, VersionStore } from './version-store.js';

export interface SetBuilderOptions {
  /** Directory of *.rules files, and of tables that go before the bundle's and the package's. */
  readonly directory: string;
  /** The agent's own rule files. The selection does not concern them. */
  readonly ownFiles: readonly string[];
  /** Where the engine's package has classification.config and reference.config. */
  readonly packageDirectory: string;
}
export interface Ingredients {
  readonly manifest: BundleManifest | undefined;
  /** Rule files of the directory and the agent's own: as they are now, or as a set in force has them. */
  readonly local: 'read' | { readonly set: number };
  readonly selection: SignatureSelection;
}
export interface BuiltSet {
  readonly set: number;
  readonly files: readonly SetFile[];
  readonly localHash: string;
  /** For the engine and its test. */
  readonly load: EngineRules;
}

const TABLES = ['classification.config', 'reference.config'] as const;

/** A set directory holds raw/own, raw/directory (with tables), rules/own, rules/bundle, rules/directory and rules/TABLE. */
export class SetBuilder {
  constructor(private readonly options: SetBuilderOptions, private readonly store: VersionStore) {}

  /** Writes a set that is not in force. Where files say the same sid, the directory goes before the bundle, and the bundle before the agent's own. */
  async build({ manifest, local, selection }: Ingredients): Promise<BuiltSet> {
    const { disk } = this.store;
    const set = await this.store.newSet();
    const at = this.store.setDirectory(set);
    const own = await this.#takeLocal(at, 'own', local);
    const directory = await this.#takeLocal(at, 'directory', local);
    const bundleDirectory = manifest === undefined ? '' : this.store.versionDirectory(manifest.version);
    const bundle = (manifest?.ruleFiles ?? []).map((file): RawFile => ({ path: join(bundleDirectory, file), name: file, origin: file }));
    const load = await this.#tables(at, manifest, bundleDirectory);
    const priorityOf = parseClassification((load.classificationFile === undefined ? undefined : await disk.read(load.classificationFile))?.toString('latin1') ?? '');

    const turns = new Turns();
    const taken = new Set<number>();
    const selected = decisionOf(selection);
    const files: SetFile[] = [];
    for (const [from, raw, decide] of [['directory', directory, selected], ['bundle', bundle, selected], ['own', own, decisionOf({})]] as const) {
      const level = new Set<number>();
      const overridden = besides(taken, level, decide);
      for (const { path, name, origin } of raw) {
        const edited = await editRules(await disk.read(path) ?? Buffer.alloc(0), priorityOf, overridden, turns);
        const target = join('rules', from, name);
        await disk.makeDirectory(join(at, dirname(target)));
        await disk.write(join(at, target), edited.pieces);
        files.push({ path: target, origin, from });
      }
      for (const sid of level) taken.add(sid);
    }
    // In the order in which the engine shall read them.
    const inOrder = files.toSorted((a, b) => LEVELS.indexOf(a.from) - LEVELS.indexOf(b.from) || a.path.localeCompare(b.path));
    return { set, files: inOrder, localHash: await this.#hash([...own, ...directory], join(at, 'raw/directory')), load: { ...load, ruleFiles: inOrder.map(({ path }) => join(at, path)) } };
  }

  /** Comments signatures out that the engine refused; those without a place stay. */
  async prune({ set }: BuiltSet, faults: readonly SignatureFaultView[]): Promise<void> {
    const { disk } = this.store;
    const turns = new Turns();
    const lines = new Map<string, Set<number>>();
    for (const { file, line } of faults) lines.set(file, (lines.get(file) ?? new Set()).add(line));
    for (const [path, off] of lines) {
      if (!path.startsWith(`${this.store.setDirectory(set)}/`)) continue;
      const edited = await editRules(await disk.read(path) ?? Buffer.alloc(0), () => undefined, (_signature, { line }) => (off.has(line) ? 'off' : undefined), turns);
      await disk.remove(path);
      await disk.write(path, edited.pieces);
    }
  }

  /** What the engine loads of a set in force. */
  async load(set: number, { files }: SetRecord): Promise<EngineRules> {
    const at = this.store.setDirectory(set);
    return { ...await this.#tables(at, undefined, ''), ruleFiles: files.map(({ path }) => join(at, path)) };
  }

  /** Of the own files and the directory as they are now; as `localHash` of a set that was made of them. */
  async localHash(): Promise<string> {
    return this.#hash([...await this.#localFiles('own', 'read'), ...await this.#localFiles('directory', 'read')], this.options.directory);
  }

  async #takeLocal(at: string, from: 'own' | 'directory', local: Ingredients['local']): Promise<RawFile[]> {
    const { disk } = this.store;
    const raw = join(at, 'raw', from);
    await disk.makeDirectory(raw);
    const taken: RawFile[] = [];
    for (const file of await this.#localFiles(from, local)) {
      const path = join(raw, file.name);
      await disk.copy(file.path, path);
      taken.push({ ...file, path });
    }
    if (from === 'directory') await this.#takeTables(raw, local);
    return taken;
  }

  async #takeTables(raw: string, local: Ingredients['local']): Promise<void> {
    const { disk } = this.store;
    const source = local === 'read' ? this.options.directory : join(this.store.setDirectory(local.set), 'raw/directory');
    const there = await disk.list(source);
    for (const table of TABLES) if (there.includes(table)) await disk.copy(join(source, table), join(raw, table));
  }

  async #localFiles(from: 'own' | 'directory', local: Ingredients['local']): Promise<RawFile[]> {
    if (from === 'own' && local === 'read') return this.options.ownFiles.map((path) => ({ path, name: basename(path), origin: path }));
    const source = local === 'read' ? this.options.directory : join(this.store.setDirectory(local.set), 'raw', from);
    const names = (await this.store.disk.list(source)).filter((name) => name.endsWith('.rules') && !name.startsWith('.'));
    const origins = from === 'own' ? new Map(this.options.ownFiles.map((path) => [basename(path), path])) : new Map<string, string>();
    return names.map((name) => ({ path: join(source, name), name: safeName(name, names), origin: origins.get(name) ?? join(this.options.directory, name) }));
  }

  /** Tables into the set, where the directory or the bundle has them; else the package's, if there. */
  async #tables(at: string, manifest: BundleManifest | undefined, bundleDirectory: string): Promise<Omit<EngineRules, 'ruleFiles'>> {
    const { disk } = this.store;
    const found: (string | undefined)[] = [];
    for (const table of TABLES) {
      const kept = join(at, 'rules', table);
      const named = table === 'classification.config' ? manifest?.classificationFile : manifest?.referenceFile;
      const content = await disk.read(kept) ?? await disk.read(join(at, 'raw/directory', table)) ?? (named === undefined ? undefined : await disk.read(join(bundleDirectory, named)));
      if (content === undefined) {
        const package_ = join(this.options.packageDirectory, table);
        found.push(await disk.read(package_) === undefined ? undefined : package_);
        continue;
      }
      if (await disk.read(kept) === undefined) {
        await disk.makeDirectory(dirname(kept));
        await disk.write(kept, [content]);
      }
      found.push(kept);
    }
    const [classificationFile, referenceFile] = found;
    return { classificationFile, referenceFile };
  }

  async #hash(files: readonly RawFile[], tables: string): Promise<string> {
    const hash = createHash('sha256');
    const turns = new Turns();
    for (const { path, name } of [...files, ...TABLES.map((table) => ({ path: join(tables, table), name: table }))]) {
      const content = await this.store.disk.read(path) ?? Buffer.alloc(0);
      hash.update(`${name}\0${String(content.length)}\0`);
      for (let at = 0; at < content.length; at += HASHED_AT_ONCE) {
        hash.update(content.subarray(at, at + HASHED_AT_ONCE));
        await turns.breathe();
      }
    }
    return hash.digest('hex');
  }
}

interface RawFile {
  readonly path: string;
  /** Below its level in the set. */
  readonly name: string;
  readonly origin: string;
}
const LEVELS: readonly SetFile['from'][] = ['own', 'bundle', 'directory'];
const HASHED_AT_ONCE = 4 << 20;

/** Decides as `decide`, but signatures that a level above has are off; notes the ones of this level. */
function besides(above: ReadonlySet<number>, level: Set<number>, decide: Decision): Decision {
  return (signature: Signature | undefined, span) => {
    if (signature === undefined) return decide(signature, span);
    level.add(signature.sid);
    return above.has(signature.sid) ? 'off' : decide(signature, span);
  };
}

/** The engine takes paths for patterns: names with characters that mean something there get others. */
function safeName(name: string, all: readonly string[]): string {
  if (/^[\w.+@ -]+$/.test(name)) return name;
  return `${String(all.indexOf(name))}-${name.replaceAll(/[^\w.+@ -]/g, '_')}`;
}
