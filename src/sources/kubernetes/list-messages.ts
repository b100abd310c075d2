/** What the agent's thread and the list worker say to each other; each request is answered once, in order. */
import type { ErrorCode } from '../../model/errors.js';
import type { ListEnvelope } from './list-parser.js';
import type { ItemKind } from './trimmed-item.js';

export type ListRequest =
  | { readonly ask: 'begin'; readonly list: number; readonly kind: ItemKind; readonly packed: boolean }
  /** Of the body as it came, packed or not. */
  | { readonly ask: 'chunk'; readonly list: number; readonly bytes: Uint8Array }
  | { readonly ask: 'end'; readonly list: number }
  /** Nothing more is wanted of it. */
  | { readonly ask: 'drop'; readonly list: number };

export type ListReply =
  /** JSON of an array of items, cut down to what is looked at. `envelope`: behind the last. */
  | { readonly tell: 'items'; readonly json: Uint8Array; readonly envelope?: ListEnvelope }
  | { readonly tell: 'failed'; readonly code: ErrorCode; readonly message: string };
