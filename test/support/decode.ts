/** Decoding in tests: one decoder, whose answer must be what the test says it is. */
import type { DesiredObject, ObjectKind } from '../../src/model/objects.js';
import { Decoder } from '../../src/sources/manifests/decode.js';

const decoder = new Decoder();

export function decode(document: unknown): ReturnType<Decoder['decode']> {
  return decoder.decode(document);
}

/** The objects that may be of that kind. */
type OfKind<K extends ObjectKind, O = DesiredObject> = O extends { readonly kind: infer Q } ? (K extends Q ? O : never) : never;

/** The object, which must be of that kind. */
export function accept<K extends ObjectKind>(kind: K, document: unknown): OfKind<K> {
  const decoded = decoder.decode(document);
  if ('problems' in decoded) throw new Error(`refused: ${JSON.stringify(decoded.problems)}`);
  const { object } = decoded;
  if (!isOfKind(object, kind)) throw new Error(`is a ${object.kind}`);
  return object;
}

function isOfKind<K extends ObjectKind>(object: DesiredObject, kind: K): object is OfKind<K> & DesiredObject {
  return object.kind === kind;
}

export interface Refusal { readonly code: string; readonly path: string; readonly message: string }

/** The only problem of a document that must be refused. */
export function refuse(document: unknown): Refusal {
  const decoded = decoder.decode(document);
  if ('object' in decoded) throw new Error(`accepted: ${JSON.stringify(decoded.object)}`);
  const [problem, ...others] = decoded.problems;
  if (problem === undefined || others.length > 0) throw new Error(`not one problem: ${JSON.stringify(decoded.problems)}`);
  return problem;
}
