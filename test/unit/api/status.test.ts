import { Metadata, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentError, ERROR_CODES } from '../../../src/model/errors.js';
import { loadSchema } from '../../../src/api/schema.js';
import { fromWireError, toWireError } from '../../../src/api/status.js';

const schema = loadSchema();
const overTheWire = (thrown: unknown): AgentError => fromWireError(Object.assign(new Error('wire'), toWireError(thrown, schema)), schema, '/run/a.sock');

test('an AgentError comes back with code, message, object, path, retryable and nearest names', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 30 });
  fc.assert(fc.property(
    fc.constantFrom(...ERROR_CODES), text, fc.option(text, { nil: undefined }), fc.option(text, { nil: undefined }), fc.boolean(), fc.option(fc.array(text, { maxLength: 5 }), { nil: undefined }),
    (code, message, object, path, retryable, nearest) => {
      const error = new AgentError(code, message, {
        retryable,
        ...(object === undefined ? {} : { object }), ...(path === undefined ? {} : { path }), ...(nearest === undefined ? {} : { context: { nearest, secret: 'stays here' } }),
      });
      const back = overTheWire(error);
      expect({ code: back.code, message: back.message, object: back.object, path: back.path, retryable: back.retryable, context: back.context })
        .toEqual({ code, message, object, path, retryable, context: nearest === undefined ? {} : { nearest } });
    },
  ));
});

test('what is no AgentError arrives as E_INTERNAL with its message', () => {
  expect(overTheWire(new TypeError('x is undefined'))).toMatchObject({ code: 'E_INTERNAL', message: 'x is undefined' });
  expect(overTheWire('thrown text')).toMatchObject({ code: 'E_INTERNAL', message: 'thrown text' });
});

test('a huge error stays far below the limit of a header block', () => {
  const error = new AgentError('E_INVALID', 'm'.repeat(1_000_000), { object: 'o'.repeat(1_000_000), context: { nearest: Array.from({ length: 1_000 }, () => 'n') } });
  const { details, metadata } = toWireError(error, schema);
  const [trailer] = metadata.get('dfw-error-bin');
  expect(details.length + (trailer?.length ?? 0)).toBeLessThan(32_000);
  expect(overTheWire(error)).toMatchObject({ code: 'E_INVALID', context: { nearest: Array.from({ length: 16 }, () => 'n') } });
});

test('the status message of other clients is one line, with object and path', () => {
  expect(toWireError(new AgentError('E_INVALID', 'bad\nport', { object: 'RuleTable/x', path: 'spec' }), schema)).toMatchObject({ code: status.INVALID_ARGUMENT, details: 'RuleTable/x: spec: bad port' });
});

test('failures of the transport itself', () => {
  const failure = (code: status): AgentError => fromWireError(Object.assign(new Error('grpc'), { code, details: 'why', metadata: new Metadata() }), schema, '/run/a.sock');
  expect(failure(status.UNAVAILABLE)).toMatchObject({ code: 'E_UNREACHABLE', object: '/run/a.sock', retryable: true });
  expect(failure(status.CANCELLED)).toMatchObject({ code: 'E_CANCELLED' });
  expect(failure(status.UNIMPLEMENTED)).toMatchObject({ code: 'E_INVALID', message: expect.stringMatching(/differ in version/u) });
  expect(failure(status.RESOURCE_EXHAUSTED)).toMatchObject({ code: 'E_INTERNAL', message: 'why' });
});
