/** Schema violations in words a person understands, with the place as `spec.rules[3].ports[0]`. */
import type { ErrorObject } from 'ajv';
import { nearest } from '../../model/nearest.js';
import { quote } from '../../model/quote.js';

export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** The first `limit` violations; a field that is missing because its name was misspelt is reported once, as unknown. */
export function schemaProblems(errors: readonly ErrorObject[], limit: number): Problem[] {
  const misspelt = new Set(errors.filter((error) => error.keyword === 'additionalProperties').map((error) => error.instancePath));
  const told = errors.filter((error) => error.keyword !== 'required' || !misspelt.has(error.instancePath));
  return told.slice(0, limit).map(problemOf);
}

function problemOf(error: ErrorObject): Problem {
  const path = pathOf(error.instancePath);
  const data: unknown = error.data;
  const params: Readonly<Record<string, unknown>> = error.params;
  switch (error.keyword) {
    case 'additionalProperties': {
      const field = String(params['additionalProperty']);
      const properties: unknown = error.parentSchema?.['properties'];
      const known = typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
      const near = nearest(field, known);
      const hint = near === undefined ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
      return { path: joinPath(path, /^[\w-]{1,64}$/.test(field) ? field : quote(field, 40)), message: `unknown field ${quote(field, 40)}; ${hint}` };
    }
    case 'required':
      return { path, message: `the field ${String(params['missingProperty'])} is missing` };
    case 'type': {
      const wanted = [params['type']].flat().map((type) => TYPE_NAMES[String(type)] ?? String(type)).join(' or ');
      const hint = wanted === 'a string' && (typeof data === 'number' || typeof data === 'boolean') ? '; put it in quotes' : '';
      return { path, message: `must be ${wanted}, is ${describe(data)}${hint}` };
    }
    case 'enum': {
      const allowed = [params['allowedValues']].flat().filter((value) => value !== null).map(String);
      const near = typeof data === 'string' ? nearest(data, allowed) : undefined;
      return { path, message: `must be one of ${allowed.join(', ')}; is ${describe(data)}${near === undefined ? '' : `; did you mean ${near}?`}` };
    }
    case 'minimum':
      return { path, message: `must be at least ${String(params['limit'])}, is ${describe(data)}` };
    case 'maximum':
      return { path, message: `must be at most ${String(params['limit'])}, is ${describe(data)}` };
    default:
      return { path, message: error.message ?? `breaks the rule ${error.keyword}` };
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string', integer: 'a whole number', number: 'a number', boolean: 'true or false', array: 'a list', object: 'a mapping', null: 'empty',
};

/** A value in a message: its kind, and the value itself where it is short. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (typeof value === 'string') return `the string ${quote(value, 40)}`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

/** JSON pointer → `spec.rules[3].ports[0]`. */
export function pathOf(pointer: string): string {
  return pointer.split('/').slice(1).map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, step) => (/^\d+$/.test(step) ? `${path}[${step}]` : joinPath(path, step.length > 64 ? quote(step, 40) : step)), '');
}

export function joinPath(parent: string, step: string): string {
  return parent === '' || step === '' || step.startsWith('[') ? `${parent}${step}` : `${parent}.${step}`;
}
