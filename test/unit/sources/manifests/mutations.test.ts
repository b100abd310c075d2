/** What decoding owes whatever it is given: an answer, the same each time, without a trace on the input; and no field that it does not know. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identityOf } from '../../../../src/model/identity.js';
import { KINDS, kindOfManifest } from '../../../../src/model/kinds.js';
import { objectKey } from '../../../../src/model/objects.js';
import { KIND_DECODERS } from '../../../../src/sources/manifests/kinds.js';
import { decode } from '../../../support/decode.js';
import { CORPUS, type CorpusEntry } from '../../../support/manifest-corpus.js';

type Place = readonly (string | number)[];

/** Every place below `value` (itself included). */
function places(value: unknown, at: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, child]) => places(child, [...at, Array.isArray(value) ? Number(key) : key]))];
}

function valueAt(value: unknown, place: Place): unknown {
  return place.reduce<unknown>((current, step) => (typeof current === 'object' && current !== null ? Reflect.get(current, step) : undefined), value);
}

/** A copy with the value at `place` replaced; `undefined` removes it. */
function replaced(value: unknown, [step, ...rest]: Place, by: unknown): unknown {
  if (step === undefined) return by;
  if (Array.isArray(value)) return value.flatMap((child: unknown, index) => (index !== step ? [child] : by === undefined && rest.length === 0 ? [] : [replaced(child, rest, by)]));
  const copy = Object.entries(value ?? {}).map(([key, child]: [string, unknown]) => [key, key === step ? replaced(child, rest, by) : child] as const);
  return Object.fromEntries(copy.filter(([key]) => key !== step || by !== undefined || rest.length > 0));
}

/** A copy with a field more; as JSON makes it, so that `__proto__` is a field like any other. */
function withField(value: unknown, place: Place, name: string): unknown {
  const holder = JSON.stringify(valueAt(value, place));
  const added: unknown = JSON.parse(`${holder.slice(0, -1)}${holder === '{}' ? '' : ','}${JSON.stringify(name)}:{}}`);
  return replaced(value, place, added);
}

const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }), fc.constantFrom<unknown>(null, '', 0, -1, 65_536, 1e21, 2 ** 31, true, [], {}, [{}], [null], 'x'.repeat(5_000), '\u0000', '\ud800', '10.0.0.0/8', '::/0', 'http', 'Allow'),
);
const entries = fc.constantFrom(...CORPUS);
const placed = entries.chain((entry) => fc.tuple(fc.constant(entry), fc.constantFrom(...places(entry.manifest))));

describe('decoding', () => {
  it('knows every kind, and the corpus is of every kind', () => {
    const decoders = KIND_DECODERS.flatMap(({ apiVersions, kind }) => apiVersions.map((version) => kindOfManifest(version, kind)?.kind));
    expect(new Set(decoders)).toEqual(new Set(KINDS.map(({ kind }) => kind)));
    const accepted = CORPUS.map(({ manifest }) => {
      const decoded = decode(manifest);
      return 'object' in decoded ? decoded.object.kind : `${JSON.stringify(manifest['kind'])}: ${JSON.stringify(decoded.problems)}`;
    });
    expect(accepted.sort()).toEqual(KINDS.map(({ kind }) => kind).sort());
  });

  it('answers whatever it is given', () => {
    fc.assert(fc.property(placed, fc.oneof(junk, fc.constant(undefined)), ([entry, place], value) => {
      const document = replaced(entry.manifest, place, value);
      const before = JSON.stringify(document);
      const decoded = decode(document);
      expect(JSON.stringify(document)).toBe(before);
      expect(decode(document)).toEqual(decoded);
      if ('object' in decoded) {
        const identity = identityOf(document);
        expect(identity && objectKey({ kind: identity.kind, metadata: identity })).toBe(objectKey(decoded.object));
      } else {
        expect(decoded.problems.length).toBeGreaterThan(0);
        for (const { path, message } of decoded.problems) {
          expect(message).toMatch(/^[^\p{Cc}\p{Cs}]{3,1000}$/u);
          expect(path.length).toBeLessThan(1_000);
        }
      }
    }), { numRuns: 1_500 });
  });

  it('answers values that are no documents', () => {
    fc.assert(fc.property(fc.oneof(fc.anything(), junk), (value) => {
      expect(decode(value)).toHaveProperty('problems');
    }), { numRuns: 1_000 });
  });

  it('refuses an unknown field anywhere in a spec that decides what passes', () => {
    const closed: readonly CorpusEntry[] = CORPUS.filter((entry) => entry.closed);
    const mappings = fc.constantFrom(...closed).chain((entry) => {
      const inside = places(entry.manifest).filter((place) => place[0] === 'spec' && !place.includes('matchLabels') && isMapping(valueAt(entry.manifest, place)));
      return fc.tuple(fc.constant(entry), fc.constantFrom(...inside));
    });
    const names = fc.oneof(
      fc.constantFrom('constructor', '__proto__', 'toString', 'x', 'PodSelector', 'podSelectors ', 'from ', '', '\u0000'), fc.string({ minLength: 1 }).map((text) => `${text}?`),
    );
    fc.assert(fc.property(mappings, names, ([entry, place], name) => {
      const decoded = decode(withField(entry.manifest, place, name));
      expect('problems' in decoded && decoded.problems.map(({ message }) => message).join()).toContain('unknown field');
    }), { numRuns: 1_500 });
  });
});

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
