/** One parsed document of any kind → a validated object. The kinds of this version are in kinds.ts. */
import { Ajv } from 'ajv';
import { AgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import { groupOf } from '../../model/kinds.js';
import { nearest } from '../../model/nearest.js';
import { quote } from '../../model/quote.js';
import type { Decoded, KindDecoder } from './kind-decoder.js';
import { KIND_DECODERS, OWN_API_VERSION } from './kinds.js';
import { SHARED_SCHEMAS } from './schema-parts.js';
import { describe } from './schema-errors.js';

export type { DecodeProblem, Decoded } from './kind-decoder.js';

export class Decoder {
  // Optimizing a schema's code takes twice the time of making it, and saves none in running it.
  readonly #ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true, inlineRefs: false, code: { optimize: false }, schemas: [SHARED_SCHEMAS] });
  /** By kind, then apiVersion; schemas are compiled when a kind is met for the first time. */
  readonly #ready = new Map<string, Map<string, (document: unknown) => Decoded>>();

  /** Never throws for a bad document. `apiVersion` may be left out for our own kinds. */
  decode(document: unknown): Decoded {
    try {
      return this.#find(document)(document);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return { problems: [{ code: error.code, path: error.path ?? '', message: error.message }] };
    }
  }

  #find(document: unknown): (document: unknown) => Decoded {
    const fields = fieldsOf(document);
    if (fields === undefined) {
      throw new AgentError('E_INVALID', `a manifest is a mapping with apiVersion, kind and metadata; this is ${describe(document)}`);
    }
    const { kind, apiVersion } = fields;
    if (kind === undefined) throw new AgentError('E_INVALID', 'the field kind is missing');
    if (typeof kind !== 'string') throw new AgentError('E_INVALID', `must be a string, is ${describe(kind)}`, { path: 'kind' });
    if (apiVersion !== undefined && typeof apiVersion !== 'string') {
      throw new AgentError('E_INVALID', `must be a string, is ${describe(apiVersion)}`, { path: 'apiVersion' });
    }
    const version = apiVersion ?? OWN_API_VERSION;
    const ready = this.#ready.get(kind)?.get(version);
    if (ready !== undefined) return ready;
    const found = KIND_DECODERS.find((known) => known.kind === kind && known.apiVersions.includes(version));
    if (found === undefined) throw unknownKind(kind, apiVersion);
    return this.#prepare(found);
  }

  #prepare(found: KindDecoder): (document: unknown) => Decoded {
    const decode = found.prepare(this.#ajv);
    const versions = this.#ready.get(found.kind) ?? new Map<string, (document: unknown) => Decoded>();
    this.#ready.set(found.kind, versions);
    for (const apiVersion of found.apiVersions) versions.set(apiVersion, decode);
    return decode;
  }
}

function unknownKind(kind: string, apiVersion: string | undefined): AgentError {
  const group = apiVersion === undefined ? undefined : groupOf(apiVersion);
  const elsewhere = KIND_DECODERS.filter((known) => known.kind === kind);
  if (elsewhere.length > 0) {
    const sameGroup = elsewhere.filter((known) => known.apiVersions.some((version) => groupOf(version) === group));
    const versions = (sameGroup.length > 0 ? sameGroup : elsewhere).flatMap((known) => known.apiVersions);
    const message = apiVersion === undefined ? `the field apiVersion is missing; ${kind} is ${orList(versions)}` : `kind ${kind} is ${orList(versions)}, not ${quote(apiVersion)}`;
    return new AgentError('E_INVALID', message, { path: 'apiVersion' });
  }
  const known = [...new Set(KIND_DECODERS.map((entry) => entry.kind))];
  const near = nearest(kind, known);
  const place = group === undefined ? '' : ` in group ${group === '' ? 'core' : quote(group)}`;
  return new AgentError(
    'E_INVALID', `unknown kind ${quote(kind)}${place}${near === undefined ? '' : `; did you mean ${near}?`}; this version knows ${known.join(', ')}`, { path: 'kind' },
  );
}

function orList(texts: readonly string[]): string {
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1) ?? ''}`;
}
