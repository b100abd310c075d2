import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DesiredObject } from '../../../../src/model/objects.js';
import { statusError, requestFailure, isGone } from '../../../../src/sources/kubernetes/api-errors.js';
import { Backoff } from '../../../../src/sources/kubernetes/backoff.js';
import { collectionPath, watchedKinds } from '../../../../src/sources/kubernetes/resources.js';
import { wentBack } from '../../../../src/sources/kubernetes/revisions.js';
import { ServerHistory } from '../../../../src/sources/kubernetes/server-history.js';
import { troublesOf } from '../../../../src/sources/kubernetes/troubles.js';
import { ObjectStore, type ObjectView } from '../../../../src/sources/object-store.js';

const object = (name: string, value: string): DesiredObject => ({ kind: 'AddressSet', metadata: { name, labels: {} }, addresses: [value] });

describe('ObjectStore', () => {
  it('tells of any two revisions what a comparison of their maps tells, or more, and never less', () => {
    const change = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.option(fc.nat(5)) });
    fc.assert(fc.property(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 8 }), (batches) => {
      const store = new ObjectStore();
      const seen: { view: ObjectView; copy: Map<string, DesiredObject> }[] = [];
      batches.forEach((batch, index) => {
        for (const { key, value } of batch) {
          if (value === null) store.delete(key);
          else store.set(key, object(key, String(value)));
        }
        const view = store.publish(index + 1);
        seen.push({ view, copy: new Map(view) });
      });
      const last = seen.at(-1);
      for (const { view, copy } of seen) {
        const told = new Set(last?.view.changedSince(view));
        for (const key of ['a', 'b', 'c', 'd']) if (copy.get(key) !== last?.copy.get(key)) expect(told.has(key)).toBe(true);
        if (view === last?.view) expect(told.size).toBe(0);
      }
    }));
  });

  it('says so when it cannot tell: another store, a plain map, too long ago', () => {
    const store = new ObjectStore();
    store.set('a', object('a', '1'));
    const first = store.publish(1);
    expect(first.changedSince(new Map())).toBeUndefined();
    expect(new ObjectStore().publish(1).changedSince(first)).toBeUndefined();
    for (let revision = 2; revision < 50; revision++) {
      for (let index = 0; index < 10_000; index++) store.set(`k${index}`, object(`k${index}`, String(revision)));
      store.publish(revision);
    }
    expect(store.publish(50).changedSince(first)).toBeUndefined();
  });
});

describe('parts of the Kubernetes source', () => {
  it('watches every kind once, by the names that the API has', () => {
    const kinds = watchedKinds();
    expect(new Set(kinds.map(({ kind }) => kind)).size).toBe(kinds.length);
    expect(kinds.filter(({ own }) => own).map(({ kind }) => kind).sort()).toEqual(['AddressSet', 'Attachment', 'Group', 'RuleTable', 'SecurityPolicy', 'VirtualMachine']);
    expect(kinds.filter(({ builtIn }) => builtIn).map(({ kind }) => kind).sort()).toEqual(['EndpointSlice', 'Ingress', 'Namespace', 'NetworkPolicy', 'Node', 'Pod', 'Service']);
    expect(collectionPath({ apiVersion: 'v1', plural: 'pods' })).toBe('/api/v1/pods');
    expect(collectionPath({ apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies' }, 'a')).toBe('/apis/networking.k8s.io/v1/namespaces/a/networkpolicies');
  });

  it('compares revisions that are numbers, of any length, and no others', () => {
    expect(wentBack('10', '9')).toBe(true);
    expect(wentBack('9', '10')).toBe(false);
    expect(wentBack('99999999999999999999', '99999999999999999998')).toBe(true);
    expect(wentBack('abc', '1')).toBe(false);
    expect(wentBack('', '1')).toBe(false);
  });

  it('counts a restored backup once, however many notice it', () => {
    let told = 0;
    const history = new ServerHistory(() => { told++; });
    history.seen('100');
    expect(history.isBehind('99', history.mark)).toBe(true);
    const { epoch } = history;
    history.back(epoch, '50');
    history.back(epoch, '51');
    expect(told).toBe(1);
    expect(history.isBehind('50', history.mark)).toBe(false);
    history.back(history.epoch, '40');
    expect(told).toBe(2);
    // The answer to a question asked before somebody else saw more.
    const { mark } = history;
    history.seen('60');
    expect([history.isBehind('55', mark), history.isBehind('55', history.mark)]).toEqual([false, true]);
  });

  it('pauses longer and longer, never longer than it may, and from the start after a success', () => {
    const backoff = new Backoff({ firstMs: 100, lastMs: 1_000, random: () => 0.999 });
    expect(Array.from({ length: 6 }, () => Math.round(backoff.next() / 100))).toEqual([1, 2, 4, 8, 10, 10]);
    backoff.reset();
    expect(backoff.next()).toBeLessThanOrEqual(100);
    expect(new Backoff({ firstMs: 100, lastMs: 1_000, random: () => 0 }).next()).toBe(50);
  });

  it('tells one cause once, since when it began, and whom it concerns', () => {
    const problems = Array.from({ length: 8 }, (_, index) => ({ resource: `r${index}`, message: 'away', since: 100 - index }));
    expect(troublesOf([...problems, { resource: 'pods', message: 'forbidden', since: 5 }])).toEqual([
      { reason: 'away: r0, r1, r2, r3, r4, r5 and 2 more', since: 93 }, { reason: 'forbidden: pods', since: 5 },
    ]);
    expect(troublesOf([])).toEqual([]);
  });

  it('gives answers and failures codes, and words without secrets', () => {
    const asked = { path: '/api/v1/pods?continue=secret', method: 'GET' };
    expect(isGone(statusError(410, '{}', asked))).toBe(true);
    expect(statusError(403, '{"message":"pods is forbidden"}', asked)).toMatchObject({ code: 'E_DENIED', object: '/api/v1/pods', message: expect.stringContaining('pods is forbidden') as unknown });
    expect(statusError(502, '<html>proxy</html>', asked)).toMatchObject({ code: 'E_IO', retryable: true, message: 'the API server answers 502' });
    const error = (code: string): Error => Object.assign(new Error('x'), { code });
    expect(requestFailure(error('CERT_HAS_EXPIRED'), 's', 0).message).toContain('1970-01-01T00:00:00.000Z');
    expect(requestFailure(error('DEPTH_ZERO_SELF_SIGNED_CERT'), 's', 0).message).toContain('cannot be trusted');
    expect(requestFailure(new AggregateError([error('ECONNREFUSED')]), 's', 0).message).toContain('ECONNREFUSED');
    expect(requestFailure(new Error('fetch failed', { cause: error('EHOSTUNREACH') }), 's', 0)).toMatchObject({ code: 'E_UNREACHABLE', retryable: true });
    expect(requestFailure(new DOMException('x', 'AbortError'), 's', 0).code).toBe('E_CANCELLED');
  });
});
