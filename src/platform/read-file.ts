import { readFileSync } from 'node:fs';
import { AgentError, describeError } from '../model/errors.js';

/** The whole text of a (small) file; undefined when there is none. E_IO when there is one that cannot be read. */
export function readTextFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new AgentError('E_IO', describeError(error), { object: file, cause: error });
  }
}
