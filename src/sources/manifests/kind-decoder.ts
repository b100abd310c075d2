/** One kind of manifest: how it is written, its schema, and what it becomes. */
import type { Ajv, ErrorObject, SchemaObject } from 'ajv';
import type { DesiredObject } from '../../model/objects.js';
import type { ErrorCode } from '../../model/errors.js';
import { schemaProblems, type Problem } from './schema-errors.js';

export interface DecodeProblem extends Problem {
  readonly code: ErrorCode;
}
export type Decoded = { readonly object: DesiredObject } | { readonly problems: readonly DecodeProblem[] };

export interface KindDecoder {
  /** The one of today first. */
  readonly apiVersions: readonly string[];
  readonly kind: string;
  /** Of the whole manifest. */
  readonly schema: SchemaObject;
  /** Compiles the schema, which takes some milliseconds. The function throws AgentError for what the schema cannot say. */
  prepare(ajv: Ajv): (document: unknown) => Decoded;
}

/** Problems told for one document. */
const MAX_PROBLEMS = 5;

/** `T`: the manifest as it looks once the schema holds. */
export function kindDecoder<T>(apiVersions: readonly string[], kind: string, schema: SchemaObject, decode: (manifest: T) => DesiredObject): KindDecoder {
  return {
    apiVersions,
    kind,
    schema,
    prepare: (ajv) => {
      const check = ajv.compile<T>(schema);
      return (document) => (check(document) ? { object: decode(document) } : { problems: problemsOf(check.errors) });
    },
  };
}

function problemsOf(errors: readonly ErrorObject[] | null | undefined): DecodeProblem[] {
  return schemaProblems(errors ?? [], MAX_PROBLEMS).map((problem) => ({ code: 'E_INVALID' as const, ...problem }));
}
