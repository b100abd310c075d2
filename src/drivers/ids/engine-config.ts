/** The engine's configuration file, written whole from what the agent knows. */
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../platform/atomic-file.js';
import { renderSuricataConfig, type SuricataSettings } from './suricata-config.js';

/** What the engine loads; absolute paths. */
export interface EngineRules {
  readonly ruleFiles: readonly string[];
  readonly classificationFile: string | undefined;
  readonly referenceFile: string | undefined;
}

export interface EngineConfigOptions {
  readonly settings: SuricataSettings;
  /** Where the rendered configuration goes; its directory is created, mode 0750. */
  readonly configFile: string;
  /** Directories searched, in this order, for classification.config and reference.config, which give signatures their severity and links. */
  readonly tableDirectories: readonly string[];
  /** Asked at each writing; while undefined, the rule files of `settings` and the tables of `tableDirectories`. */
  readonly rules?: () => EngineRules | undefined;
}

export class EngineConfig {
  constructor(private readonly options: EngineConfigOptions) {}

  /**
   * Resolves with true when an engine that runs with the file as it was must be started anew: more than its signatures is another now.
   * Not so where there was no file. Rejects with E_IO when it cannot be written.
   */
  async write(): Promise<boolean> {
    const { configFile, tableDirectories, settings: base } = this.options;
    const rules = this.options.rules?.();
    const settings = rules === undefined ? base : { ...base, ruleFiles: rules.ruleFiles };
    const classificationFile = rules === undefined ? await firstReadable(tableDirectories, 'classification.config') : rules.classificationFile;
    const referenceFile = rules === undefined ? await firstReadable(tableDirectories, 'reference.config') : rules.referenceFile;
    const tables = { ...(classificationFile === undefined ? {} : { classificationFile }), ...(referenceFile === undefined ? {} : { referenceFile }) };
    await mkdir(dirname(configFile), { recursive: true, mode: 0o750 });
    const before = await readFile(configFile, 'utf8').catch(() => undefined);
    const text = renderSuricataConfig({ ...settings, ...tables });
    if (text === before) return false;
    await writeFileAtomic(configFile, text, { mode: 0o640 });
    return before !== undefined && withoutSignatures(before) !== withoutSignatures(text);
  }
}

/** What `reload-rules` takes up is left out. */
function withoutSignatures(text: string): string {
  return text.replace(/^rule-files:.*\n(?: +.*\n)*/m, '').replace(/^(?:classification-file|reference-config-file):.*\n/gm, '');
}

/** undefined when none of the directories holds the file: the engine then warns and gives every signature the same severity. */
async function firstReadable(directories: readonly string[], name: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(directory, name);
    const readable = await access(path, constants.R_OK).then(() => true, () => false);
    if (readable) return path;
  }
  return undefined;
}
