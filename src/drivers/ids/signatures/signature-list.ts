import { join } from 'node:path';
import type { SignatureFilter, SignatureView } from '../../../model/views.js';
import { Turns } from '../../../platform/turns.js';
import { parseClassification } from './classification.js';
import { parseSignature, ruleSpans } from './rule-text.js';
import type { SetRecord } from './set-record.js';
import type { VersionStore } from './version-store.js';

/** The signatures of a set that match, in the order of its files; commented out ones are those that are not enabled. */
export async function listSignatures(store: VersionStore, set: number, { files }: SetRecord, classificationFile: string | undefined, filter: SignatureFilter): Promise<SignatureView[]> {
  const table = classificationFile === undefined ? undefined : await store.disk.read(classificationFile);
  const priorityOf = parseClassification(table?.toString('latin1') ?? '');
  const category = filter.category?.toLowerCase();
  const turns = new Turns();
  const found: SignatureView[] = [];
  for (const { path, origin } of files) {
    const content = await store.disk.read(join(store.setDirectory(set), path));
    for (const { enabled, text } of ruleSpans(content?.toString('latin1') ?? '')) {
      await turns.breathe();
      if (filter.enabled !== undefined && filter.enabled !== enabled) continue;
      const signature = parseSignature(text, priorityOf);
      if (signature === undefined) continue;
      if (filter.sid !== undefined && filter.sid !== signature.sid) continue;
      if (filter.severity !== undefined && filter.severity !== signature.severity) continue;
      if (category !== undefined && category !== signature.category.toLowerCase()) continue;
      found.push({ ...signature, file: origin, enabled });
    }
  }
  return found;
}
