/** Every request and answer of the API survives its way over the wire: the real .proto, the real serializer. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Arbitrary } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAgentError } from '../../../src/model/errors.js';
import type { Field } from '../../../src/api/codec.js';
import { methods } from '../../../src/api/methods.js';
import { loadSchema } from '../../../src/api/schema.js';
import { samples } from './arbitraries.js';

const schema = loadSchema();

interface Wire { serialize(value: object): Buffer; parse(bytes: Buffer): unknown }

/** One way over the wire: encode, serialize, parse, decode. */
function roundTrip<T>(codec: Field<T>, wire: Wire, value: T): T {
  const encoded = codec.encode(value);
  if (typeof encoded !== 'object' || encoded === null) throw new Error('a message is an object');
  return codec.decode(wire.parse(wire.serialize(encoded)), '');
}

/** The same value with the prototypes that both sides share, keys that are undefined kept. */
function bare(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, bare(member)]));
  return value;
}

/** A value that does not survive, or undefined when 200 random ones do. */
function counterexample<T>(codec: Field<T>, wire: Wire, arbitrary: Arbitrary<T>): unknown {
  const run = fc.check(fc.property(arbitrary, (value) => isDeepStrictEqual(bare(roundTrip(codec, wire, value)), bare(value))), { numRuns: 200 });
  return run.failed ? { seed: run.seed, value: run.counterexample, error: run.errorInstance } : undefined;
}

const covered = new Set<string>();

function cases<Q, A>(method: { name: string; request: Field<Q>; response: Field<A> }, sample: { request: Arbitrary<Q>; response: Arbitrary<A> }): void {
  const rpc = schema.method(method.name);
  covered.add(method.name);
  test(`${method.name} request`, () => {
    expect(counterexample(method.request, { serialize: rpc.requestSerialize, parse: rpc.requestDeserialize }, sample.request)).toBeUndefined();
  });
  test(`${method.name} response`, () => {
    expect(counterexample(method.response, { serialize: rpc.responseSerialize, parse: rpc.responseDeserialize }, sample.response)).toBeUndefined();
  });
}

describe('the wire gives back what it was given', () => {
  cases(methods.getFilters, samples.getFilters);
  cases(methods.getRules, samples.getRules);
  cases(methods.getAddressSets, samples.getAddressSets);
  cases(methods.getFlows, samples.getFlows);
  cases(methods.watchFlows, samples.watchFlows);
  cases(methods.getFilterStat, samples.getFilterStat);
  cases(methods.getConnCount, samples.getConnCount);
  cases(methods.trace, samples.trace);
  cases(methods.get, samples.get);
  cases(methods.queryEndpoint, samples.queryEndpoint);
  cases(methods.diff, samples.diff);
  cases(methods.apply, samples.apply);
  cases(methods.deleteObjects, samples.deleteObjects);
  cases(methods.attach, samples.attach);
  cases(methods.detach, samples.detach);
  cases(methods.sync, samples.sync);
  cases(methods.getEgress, samples.getEgress);
  cases(methods.getTrafficControl, samples.getTrafficControl);
  cases(methods.getFqdnCache, samples.getFqdnCache);
  cases(methods.getAlerts, samples.getAlerts);
  cases(methods.followAlerts, samples.followAlerts);
  cases(methods.getAlertPackets, samples.getAlertPackets);
  cases(methods.reloadIds, samples.reloadIds);
  cases(methods.listQuarantines, samples.listQuarantines);
  cases(methods.addQuarantine, samples.addQuarantine);
  cases(methods.releaseQuarantine, samples.releaseQuarantine);
  cases(methods.listAddresses, samples.listAddresses);
  cases(methods.approveAddress, samples.approveAddress);
  cases(methods.releaseAddresses, samples.releaseAddresses);
  cases(methods.idsStatus, samples.idsStatus);
  cases(methods.getSignatures, samples.getSignatures);
  cases(methods.updateSignatures, samples.updateSignatures);
  cases(methods.rollbackSignatures, samples.rollbackSignatures);
  cases(methods.capture, samples.capture);
  cases(methods.status, samples.status);
  cases(methods.health, samples.health);
  cases(methods.version, samples.version);
  cases(methods.setLogLevel, samples.setLogLevel);
  cases(methods.cleanup, samples.cleanup);
});

test('every rpc of the schema is in the table and was tried, and nothing else', () => {
  expect([...covered].sort()).toEqual(Object.keys(schema.service()).sort());
  expect(Object.values(methods).map((method) => method.name).sort()).toEqual(Object.keys(schema.service()).sort());
});

test('what another implementation leaves out because it is a default comes back as that default', () => {
  const { response } = methods.getFilterStat;
  const zeros = { v4PassIn: 0, v4PassOut: 0, v4DropIn: 0, v4DropOut: 0, v6PassIn: 0, v6PassOut: 0, v6DropIn: 0, v6DropOut: 0 };
  expect(response.decode({}, '')).toEqual({ filter: '', packets: zeros, bytes: zeros, dropReasons: {}, miscellaneous: {} });
  expect(methods.getConnCount.response.decode({}, '')).toEqual({ connections: 0 });
});

test('a value outside a closed vocabulary is refused with its place', () => {
  const decode = (): unknown => methods.getFilters.response.decode({ filters: [{ workload: { kind: 'Pod' }, state: 'gone' }] }, '');
  expect(decode).toThrowError(expect.toSatisfy((error: unknown) => isAgentError(error, 'E_INVALID') && error.path === 'filters[0].state'));
});

test('a manifest that is neither document nor rules text is refused', () => {
  expect(() => methods.apply.request.decode({ documents: [{}] }, '')).toThrowError(/a document or a rules text/u);
  expect(() => methods.apply.request.decode({ documents: [{ documentJson: '{' }] }, '')).toThrowError(/JSON/u);
});
