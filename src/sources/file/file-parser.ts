/** Bytes of a file → documents, in this thread. */
import { AgentError } from '../../model/errors.js';
import { Decoder } from '../manifests/decode.js';
import { parseFile, type ParsedFile } from './parse-file.js';

export interface FileParser {
  /** Rejects with E_PARSE when the bytes are not UTF-8, E_CANCELLED after close(); problems of documents are in the result. */
  parse(name: string, bytes: Uint8Array): Promise<ParsedFile>;
  close(): Promise<void>;
}

/** Throws E_PARSE when the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AgentError('E_PARSE', 'the file is not UTF-8 text', { cause });
  }
}

export class InlineParser implements FileParser {
  #decoder: Decoder | undefined;

  async parse(name: string, bytes: Uint8Array): Promise<ParsedFile> {
    this.#decoder ??= new Decoder();
    return Promise.resolve(parseFile(name, decodeText(bytes), this.#decoder));
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}
