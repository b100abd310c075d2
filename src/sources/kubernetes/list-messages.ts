/** What the agent's thread and the list worker say to each other; each request is answered once, in order. */
import type { ErrorCode } from '../../model/errors.js';
import type { ListEnvelope } from './list-parser.js';
import type { ListKind } from './list-reader.js';

export type ListRequest =
  | { readonly ask: 'begin'; readonly list: number; readonly kind: ListKind }
  | { readonly ask: 'chunk'; readonly list: number; readonly bytes: Uint8Array }
  | { readonly ask: 'end'; readonly list: number };

export type ListReply =
  /** JSON of TrimmedItem[]: cheaper to pass than the objects. */
  | { readonly tell: 'items'; readonly text: string }
  | { readonly tell: 'envelope'; readonly envelope: ListEnvelope }
  | { readonly tell: 'failed'; readonly code: ErrorCode; readonly message: string };
