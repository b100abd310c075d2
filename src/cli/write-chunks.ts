/** What an agent's stream of bytes is written to: a file, or stdout for "-". */
import { open } from 'node:fs/promises';
import { AgentError } from '../model/errors.js';
import type { Output } from './output.js';

/** The file is made only once the agent sent something: a refused request leaves an older file alone. Says on stderr what was written. */
export async function writeChunks(path: string, chunks: AsyncIterable<Uint8Array>, out: Output): Promise<void> {
  if (path === '-') {
    for await (const chunk of chunks) await out.write(chunk);
    return;
  }
  let file: Awaited<ReturnType<typeof open>> | undefined;
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      file ??= await create(path);
      await file.writeFile(chunk);
      bytes += chunk.length;
    }
  } finally {
    await file?.close();
  }
  out.message(`${bytes} bytes written to ${path}`);
}

async function create(path: string): ReturnType<typeof open> {
  try {
    return await open(path, 'w', 0o600);
  } catch (cause) {
    throw new AgentError('E_IO', cause instanceof Error ? cause.message : String(cause), { object: path, cause });
  }
}
