/** Entry of the parsing worker: parses whole files away from the agent's event loop. Started by ThreadParser only. */
import { parentPort } from 'node:worker_threads';
import type { ParsedDocument } from './parse-file.js';
import type { ParseReply, ParseRequest } from './parse-messages.js';
import { describeError, isAgentError } from '../../model/errors.js';
import { Decoder } from '../manifests/decode.js';
import { decodeText } from './file-parser.js';
import { packLists } from './packed-lists.js';
import { parseFile } from './parse-file.js';

/** Objects in one message, so that receiving it takes a few milliseconds. */
const BATCH = 100;

function serve(reply: (message: ParseReply) => void): (request: ParseRequest) => void {
  const decoder = new Decoder();
  let pending: ParsedDocument[][] = [];
  return (request) => {
    const { id } = request;
    try {
      if (request.ask === 'parse') {
        const { documents, warnings } = parseFile(request.name, decodeText(request.bytes), decoder);
        pending = [];
        for (let at = 0; at < documents.length; at += BATCH) pending.push(documents.slice(at, at + BATCH));
        reply({ id, tell: 'parsed', batches: pending.length, warnings });
      } else {
        const documents = pending.shift() ?? [];
        const texts = packLists(documents);
        reply({ id, tell: 'batch', documents, texts });
      }
    } catch (error) {
      reply({ id, tell: 'failed', code: isAgentError(error) ? error.code : 'E_INTERNAL', message: describeError(error) });
    }
  };
}

const port = parentPort;
port?.on('message', serve((message) => port.postMessage(message)));
