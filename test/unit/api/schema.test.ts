/** The schema as the program reads it, and its messages, against the .proto file and protobuf.js as the oracle. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { methods } from '../../../src/api/methods.js';
import { loadSchema } from '../../../src/api/schema.js';
import { isAgentError } from '../../../src/model/errors.js';
import { samples } from './arbitraries.js';

const file = (name: string): string => fileURLToPath(new URL(`../../../proto/dfw/v1/${name}`, import.meta.url));
const { root } = protobuf.parse(readFileSync(file('agent.proto'), 'utf8'));
const schema = loadSchema();
const internal = expect.toSatisfy((error: unknown) => isAgentError(error, 'E_INTERNAL'));

test('agent.json is agent.proto; scripts/gen-schema writes it', () => {
  expect(JSON.parse(readFileSync(file('agent.json'), 'utf8'))).toEqual(root.toJSON());
});

test('the service has every rpc', () => {
  const rpcs = root.lookupService('dfw.v1.Agent').methods;
  const service = schema.service();
  expect(Object.keys(service)).toEqual(Object.keys(rpcs));
  for (const [name, rpc] of Object.entries(rpcs)) {
    expect(service[name]).toMatchObject({ path: `/dfw.v1.Agent/${name}`, requestStream: false, responseStream: rpc.responseStream === true });
  }
});

test('what is not there is E_INTERNAL', () => {
  expect(() => loadSchema('/nonexistent.json')).toThrowError(internal);
  expect(() => schema.method('NoSuch')).toThrowError(internal);
  expect(() => schema.method('constructor')).toThrowError(internal);
  for (const name of ['NoSuch', 'constructor', 'Agent']) expect(() => schema.message(name).serialize({})).toThrowError(internal);
});

describe('the bytes are those of protobuf.js', () => {
  const answers = [
    [methods.getRules, samples.getRules], [methods.getFilters, samples.getFilters], [methods.getFlows, samples.getFlows], [methods.watchFlows, samples.watchFlows],
    [methods.getFilterStat, samples.getFilterStat], [methods.getAlerts, samples.getAlerts], [methods.status, samples.status],
  ] as const;
  test.each(answers.map(([method, sample]) => [method.name, method.response, sample.response] as const))('%s', (name, codec: { encode(value: never): unknown }, arbitrary: fc.Arbitrary<unknown>) => {
    const ours = schema.method(name);
    const theirs = root.lookupType(root.lookupService('dfw.v1.Agent').methods[name]?.responseType ?? '');
    fc.assert(fc.property(arbitrary, (value) => {
      const message = codec.encode(value as never) as object;
      const bytes = Buffer.from(theirs.encode(theirs.fromObject(message)).finish());
      return ours.responseSerialize(message).equals(bytes)
        && isDeepStrictEqual(ours.responseDeserialize(bytes), theirs.toObject(theirs.decode(bytes), { longs: Number }));
    }), { numRuns: 100 });
  });
  test('negative numbers and numbers beyond 32 bits', () => {
    const { requestSerialize, requestDeserialize } = schema.method('Sync');
    for (const timeoutMs of [-1, -(2 ** 40), 2 ** 31, 2 ** 53 - 1]) expect(requestDeserialize(requestSerialize({ timeoutMs }))).toEqual({ timeoutMs });
  });
});

describe('bytes of somebody else', () => {
  const { requestDeserialize } = schema.method('GetFlows');
  // Tag = field number << 3 | wire type.
  test('fields of a later version are skipped, of every wire type', () => {
    expect(requestDeserialize(Buffer.from([0xf8, 7, 1, 0xf9, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0xfa, 7, 1, 0x41, 0xfd, 7, 1, 2, 3, 4, 0x0a, 1, 0x78]))).toEqual({ filter: 'x' });
  });
  test('a known number with another wire type is unknown', () => {
    expect(requestDeserialize(Buffer.from([0x08, 1, 0x0a, 1, 0x78]))).toEqual({ filter: 'x' });
  });
  test('of a field that comes twice the last one counts', () => {
    expect(requestDeserialize(Buffer.from([0x0a, 1, 0x78, 0x0a, 1, 0x79]))).toEqual({ filter: 'y' });
  });
  test('random bytes are a message or an error, never more', () => {
    const { responseDeserialize } = schema.method('GetRules');
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        return typeof responseDeserialize(Buffer.from(bytes)) === 'object';
      } catch (error) {
        return error instanceof Error;
      }
    }), { numRuns: 500 });
  });
  test.each([[[0x0a, 5, 0x78]], [[0x0a]], [[0x18, 0xff]], [[0xfb, 7]]])('%j is refused', (bytes) => {
    expect(() => requestDeserialize(Buffer.from(bytes))).toThrowError();
  });
});
