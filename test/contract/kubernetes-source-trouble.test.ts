/** What goes wrong with an API server that answers all the same: it is said what and since when, all stays as it was, and the source catches up by itself. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startHarness, type Harness } from '../support/api-server/harness.js';
import type { Fault, SeenRequest } from '../support/api-server/server.js';
import { makeSource, type TestSource } from '../support/api-server/source.js';
import { eventually } from '../support/command.js';

const signal = new AbortController().signal;
let harness: Harness;
let made: TestSource;

const policy = (name: string) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: 'shop' }, spec: { podSelector: {} } });
const ofPolicies = (fault: Fault) => ({ verb, resource }: SeenRequest): Fault | undefined => (resource === 'networkpolicies' && (verb === 'watch' || verb === 'list') ? fault : undefined);

beforeEach(async () => {
  harness = await startHarness({ bookmarkMs: 200 });
  harness.server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  harness.server.put(policy('deny'));
  made = makeSource(harness, { times: { watchIdleMs: 400 } });
  await made.source.start(signal);
});
afterEach(async () => {
  await made.source.stop();
  await harness.close();
});

it.each<[string, Fault, RegExp]>([
  ['answers of 500', { status: 500 }, /500.*: networkpolicies$/],
  ['answers of 429, which asks for patience', { status: 429, retryAfter: 0.05 }, /429.*: networkpolicies$/],
  ['answers that come too late', { delayMs: 2_500 }, /networkpolicies$/],
  ['connections that end without an answer', { destroy: true }, /networkpolicies$/],
  ['watches of what is no JSON', { garbage: true }, /an event of the watch is no JSON: networkpolicies$/],
])('%s', async (_what, fault, reason) => {
  const { source, names } = made;
  const before = Date.now();
  harness.server.fault = ofPolicies(fault);
  harness.server.closeWatches(true);
  const told = await eventually('it is said', async () => source.troubles.find((trouble) => reason.test(trouble.reason)), 10_000, 10).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(source.troubles)}`, { cause: error });
  });
  expect(told.since).toBeGreaterThanOrEqual(before);
  expect(told.since).toBeLessThanOrEqual(Date.now());
  const missed = harness.server.requests.length;
  harness.server.put(policy('more'));
  harness.server.remove('networking.k8s.io/v1', 'NetworkPolicy', 'deny', 'shop');
  await eventually('it tries again', async () => (harness.server.requests.slice(missed).some(({ resource }) => resource === 'networkpolicies') ? true : undefined), 10_000, 10);
  expect([source.synced, names('NetworkPolicy')]).toEqual([true, ['shop/deny']]);
  harness.server.fault = () => undefined;
  await eventually('it catches up', async () => (names('NetworkPolicy').join() === 'shop/more' && source.troubles.length === 0 ? true : undefined), 10_000, 10);
});
