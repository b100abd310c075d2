/** Entry of the list worker: takes long lists apart away from the agent's thread, and keeps their garbage. Started by ThreadListReader only. */
import { parentPort } from 'node:worker_threads';
import { describeError, isAgentError } from '../../model/errors.js';
import type { ListReply, ListRequest } from './list-messages.js';
import { ListParser } from './list-parser.js';
import { trimAll } from './list-reader.js';
import { itemTrimmer, type TrimmedItem } from './trimmed-item.js';
import { ValuePool } from './value-pool.js';

interface Open { readonly parser: ListParser; readonly trim: (item: unknown) => TrimmedItem | undefined }

function serve(): (request: ListRequest) => ListReply {
  const lists = new Map<number, Open>();
  const pool = new ValuePool();
  return (request) => {
    try {
      if (request.ask === 'begin') {
        lists.set(request.list, { parser: new ListParser(), trim: itemTrimmer(request.kind, request.kind.apiVersion, pool) });
        return { tell: 'items', text: '[]' };
      }
      const open = lists.get(request.list);
      if (open === undefined) return { tell: 'failed', code: 'E_INTERNAL', message: 'there is no such list' };
      if (request.ask === 'chunk') return { tell: 'items', text: JSON.stringify(trimAll(open.parser.push(request.bytes), open.trim)) };
      lists.delete(request.list);
      return { tell: 'envelope', envelope: open.parser.finish() };
    } catch (error) {
      lists.delete(request.list);
      return { tell: 'failed', code: isAgentError(error) ? error.code : 'E_INTERNAL', message: describeError(error) };
    }
  };
}

const port = parentPort;
const answer = serve();
port?.on('message', (request: ListRequest) => port.postMessage(answer(request)));
