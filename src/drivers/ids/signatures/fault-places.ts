import { readFile } from 'node:fs/promises';
import type { SignatureFaultView } from '../../../model/views.js';
import { Turns } from '../../../platform/turns.js';
import { ruleSpans } from './rule-text.js';
import type { TestOutput } from './test-output.js';

/** Shorter beginnings say nothing. */
const SHORTEST = 40;

/** The faults with their places, also of signatures so long that the engine's message ended before it came to name file and line. */
export async function placedFaults({ faults, unplaced }: Pick<TestOutput, 'faults' | 'unplaced'>, files: readonly string[]): Promise<SignatureFaultView[]> {
  const placed = [...faults];
  if (unplaced.size === 0) return placed;
  const wanted = new Map([...unplaced].map(([index, beginning]) => [index, comparable(beginning)]));
  const turns = new Turns();
  for (const file of files) {
    for (const { enabled, text, line } of ruleSpans(await readFile(file, 'latin1'))) {
      await turns.breathe();
      // The engine has the beginning in 2,048 bytes of JSON: shorter rules are named in full.
      if (!enabled || text.length < SHORTEST) continue;
      const found = [...wanted].find(([, beginning]) => beginning.length >= SHORTEST && text.startsWith(beginning));
      if (found === undefined) continue;
      const [index] = found;
      const fault = placed[index];
      const sid = /[;(\s]sid\s*:\s*(\d{1,10})\s*;/i.exec(text)?.[1];
      if (fault !== undefined) placed[index] = { ...fault, file, line, ...(sid === undefined ? {} : { sid: Number(sid) }) };
      wanted.delete(index);
    }
    if (wanted.size === 0) break;
  }
  return placed;
}

/** Up to the first character that reading as UTF-8 may have changed. */
function comparable(text: string): string {
  return /^[ -~]*/.exec(text)?.[0] ?? '';
}
