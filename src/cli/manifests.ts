/** Reads manifests that a user names with -f: YAML (several documents), JSON, `kind: List`, *.rules, directories, stdin. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { ManifestInput } from '../api/agent-api.js';
import { AgentError } from '../model/errors.js';

const EXTENSIONS: ReadonlySet<string> = new Set(['.yaml', '.yml', '.json', '.rules']);
const RULES_START = /^\s*(?:#.*\n\s*)*(?:ruleset|addrset)\s+\S+\s*\{/u;
/** A text over this is refused before it is parsed. */
const SIZE_LIMIT_BYTES = 256 * 1024 * 1024;

/**
 * All documents, in the order named; directories by file name, not recursive. Rejects with E_IO for what cannot be read and
 * E_PARSE (object = file, path = place) for what is no YAML; empty documents are left out; E_USAGE when nothing is left.
 */
export async function readManifests(names: readonly string[], stdin: AsyncIterable<Uint8Array>): Promise<ManifestInput[]> {
  const documents: ManifestInput[] = [];
  for (const name of names) {
    if (name === '-') documents.push(...await parse('stdin', await readAll(stdin)));
    else for (const file of await filesOf(name)) documents.push(...await parse(file, await readText(file)));
  }
  if (documents.length === 0) throw new AgentError('E_USAGE', `no documents in ${names.join(', ')}`);
  return documents;
}

async function parse(file: string, text: string): Promise<ManifestInput[]> {
  if (extname(file) === '.rules' || RULES_START.test(text)) return [{ rulesText: text, name: basename(file) }];
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text, { prettyErrors: true });
  const found: ManifestInput[] = [];
  for (const document of documents) {
    const [error] = document.errors;
    if (error !== undefined) {
      const line = error.linePos?.[0].line;
      throw new AgentError('E_PARSE', error.message.split('\n')[0] ?? error.message, { object: file, path: line === undefined ? '' : `line ${line}`, cause: error });
    }
    found.push(...itemsOf(plain(document, file)).map((item): ManifestInput => ({ document: item })));
  }
  return found;
}

/** toJS() refuses alias bombs. */
function plain(document: { toJS(): unknown }, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new AgentError('E_PARSE', cause instanceof Error ? cause.message : String(cause), { object: file, cause });
  }
}

function itemsOf(document: unknown): unknown[] {
  if (document === null || document === undefined) return [];
  if (typeof document === 'object' && Reflect.get(document, 'kind') === 'List') {
    const items: unknown = Reflect.get(document, 'items');
    if (Array.isArray(items)) return items.flatMap((item: unknown) => itemsOf(item));
  }
  return [document];
}

async function filesOf(name: string): Promise<string[]> {
  try {
    if (!(await stat(name)).isDirectory()) return [name];
    const entries = await readdir(name);
    return entries.filter((entry) => EXTENSIONS.has(extname(entry)) && !entry.startsWith('.')).sort().map((entry) => join(name, entry));
  } catch (cause) {
    throw unreadable(name, cause);
  }
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > SIZE_LIMIT_BYTES) throw tooLarge(file);
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw cause instanceof AgentError ? cause : unreadable(file, cause);
  }
}

async function readAll(stdin: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    size += chunk.length;
    if (size > SIZE_LIMIT_BYTES) throw tooLarge('stdin');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLarge(object: string): AgentError {
  return new AgentError('E_LIMIT', `larger than ${SIZE_LIMIT_BYTES / 1024 / 1024} MiB`, { object });
}

function unreadable(object: string, cause: unknown): AgentError {
  const code: unknown = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
  const reason = code === 'ENOENT' ? 'no such file or directory' : cause instanceof Error ? cause.message : String(cause);
  return new AgentError('E_IO', reason, { object, cause });
}
