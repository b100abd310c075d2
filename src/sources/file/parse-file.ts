/** The text of one file → its documents, decoded. Pure; runs in the agent's thread for small files and in a worker for big ones. */
import type { DesiredObject } from '../../model/objects.js';
import type { RulesText } from '../../model/rules-text.js';
import { objectKey } from '../../model/objects.js';
import { parseRulesText } from '../../model/rules-text.js';
import { identityOf } from '../../model/identity.js';
import type { DecodeProblem, Decoder } from '../manifests/decode.js';
import { parseDocuments } from './documents.js';
import { encodeAddressSet, encodeRuleTable } from '../manifests/encode-rules.js';
import { joinPath } from '../manifests/schema-errors.js';

export interface ParsedObject {
  readonly object: DesiredObject;
  /** As the user wrote it; for rules text, the manifest that means the same. */
  readonly manifest: unknown;
}

export interface ParsedDocument {
  /** `#2` for the second document of the file; empty for rules text, which is one document. */
  readonly label: string;
  /** Stays the same while the document keeps its place in the file. */
  readonly position: string;
  /** What the document claims to be, where that can be read. */
  readonly key?: string;
  /** Empty when there are problems. */
  readonly objects: readonly ParsedObject[];
  readonly problems: readonly DecodeProblem[];
}

export interface ParsedFile {
  readonly documents: readonly ParsedDocument[];
  /** What was read but has no effect. */
  readonly warnings: readonly { readonly path: string; readonly message: string }[];
}

/** Where files of the source are told apart by their names: case-sensitive, as the shell globs them. */
export function isManifestName(name: string): boolean {
  return !name.startsWith('.') && /\.(ya?ml|json|rules)$/.test(name);
}

export function parseFile(name: string, text: string, decoder: Decoder): ParsedFile {
  return name.endsWith('.rules') ? parseRules(text) : parseManifests(text, name.endsWith('.json'), decoder);
}

function parseManifests(text: string, isJson: boolean, decoder: Decoder): ParsedFile {
  const documents = parseDocuments(text, isJson).map(({ index, item, value, problem }): ParsedDocument => {
    const place = { label: `#${index}`, position: `${index}/${item}` };
    if (problem !== undefined) return { ...place, objects: [], problems: [{ code: 'E_PARSE', ...problem }] };
    const decoded = decoder.decode(value);
    if ('object' in decoded) {
      return { ...place, key: objectKey(decoded.object), objects: [{ object: decoded.object, manifest: value }], problems: [] };
    }
    const identity = identityOf(value);
    const problems = decoded.problems.map((each) => ({ ...each, path: item === '' ? each.path : joinPath(item, each.path) }));
    return { ...place, ...(identity === undefined ? {} : { key: objectKey({ kind: identity.kind, metadata: identity }) }), objects: [], problems };
  });
  return { documents, warnings: [] };
}

function parseRules(text: string): ParsedFile {
  const parsed = parseRulesText(text);
  const problems = parsed.problems.map(({ line, message }): DecodeProblem => ({ code: 'E_PARSE', path: `line ${line}`, message }));
  return {
    documents: [{ label: '', position: '', objects: objectsOfRulesText(parsed), problems }],
    warnings: parsed.warnings.map(({ line, message }) => ({ path: `line ${line}`, message })),
  };
}

/** The tables of the text with the sets they use; in a text without tables, the sets as objects of their own. */
export function objectsOfRulesText(parsed: RulesText): ParsedObject[] {
  const labels = {};
  if (parsed.tables.length === 0) {
    return parsed.addressSets.map(({ name, addresses }) => {
      const object = { kind: 'AddressSet', metadata: { name, labels }, addresses } as const;
      return { object, manifest: encodeAddressSet(object) };
    });
  }
  return parsed.tables.map(({ name, addressSets, rules, layer2Rules }) => {
    const object = { kind: 'RuleTable', metadata: { name, labels }, addressSets, rules, layer2Rules } as const;
    return { object, manifest: encodeRuleTable(object) };
  });
}
