/** What the agent's thread and the parsing worker say to each other. A parse is answered by its size; its batches are then asked for one by one. */
import type { ErrorCode } from '../../model/errors.js';
import type { ParsedDocument, ParsedFile } from './parse-file.js';

export type ParseRequest =
  | { readonly id: number; readonly ask: 'parse'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly id: number; readonly ask: 'batch' };

export type ParseReply =
  | { readonly id: number; readonly tell: 'parsed'; readonly batches: number; readonly warnings: ParsedFile['warnings'] }
  | { readonly id: number; readonly tell: 'batch'; readonly documents: ParsedDocument[]; readonly texts: readonly string[] }
  | { readonly id: number; readonly tell: 'failed'; readonly code: ErrorCode; readonly message: string };
