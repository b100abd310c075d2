/** What is written back of our own kinds, against the API server of the tests: by several agents at once, and never a storm. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { systemClock } from '../../src/platform/clock.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import { KubernetesSource } from '../../src/sources/kubernetes/kubernetes-source.js';
import { InlineListReader } from '../../src/sources/kubernetes/list-reader.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';
import { StatusWriter } from '../../src/sources/kubernetes/status-writer.js';
import { startHarness, type Harness } from '../support/api-server/harness.js';
import { QUICK, testLogger, type TestLogger } from '../support/api-server/source.js';
import type { StoredObject } from '../support/api-server/storage.js';
import { eventually } from '../support/command.js';

const CRDS = join(import.meta.dirname, '../../deploy/crds');
const signal = new AbortController().signal;
let harness: Harness;
let sources: KubernetesSource[];

async function agent(node: string, turnMs = 200): Promise<{ source: KubernetesSource; log: TestLogger }> {
  const log = testLogger();
  const client = new HttpApiClient({ kubeconfig: harness.kubeconfig, reader: new InlineCredentials(), clock: systemClock });
  const writer = new StatusWriter({ client, node, nodes: () => source.nodeNames(), clock: systemClock, log, random: Math.random, times: { turnMs, deniedMs: 500 } });
  const source: KubernetesSource = new KubernetesSource({
    client, node, namespaces: [], lists: new InlineListReader(), clock: systemClock, log, random: Math.random, times: QUICK, onJudged: (judgement, resource) => writer.judged(judgement, resource), onStop: () => writer.stop(),
  });
  sources.push(source);
  await source.start(signal);
  return { source, log };
}
const set = (name: string, addresses: unknown = ['10.0.0.1']) => ({ apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name }, spec: { addresses } });
const stored = (name: string): StoredObject | undefined => harness.server.get('dfw.dev/v1', 'AddressSet', name);
const accepted = (name: string): Record<string, unknown> | undefined => (stored(name)?.['status'] as { conditions?: Record<string, unknown>[] } | undefined)?.conditions?.find(({ type }) => type === 'Accepted');
const writes = (): number => harness.server.requests.filter(({ verb }) => verb === 'patch').length;
const events = (): StoredObject[] => [...harness.server.storage.at('events.k8s.io/events', harness.server.storage.revision, '')].map(([, text]) => JSON.parse(text) as StoredObject);
const until = async (what: string, test: () => boolean): Promise<void> => {
  await eventually(what, async () => (test() ? true : undefined), 10_000, 10);
};

beforeEach(async () => {
  sources = [];
  harness = await startHarness({ bookmarkMs: 200 });
  for (const file of readdirSync(CRDS)) harness.server.put(parse(readFileSync(join(CRDS, file), 'utf8')) as StoredObject);
});
afterEach(async () => {
  for (const source of sources) await source.stop();
  await harness.close();
});

describe('status and events of our own kinds', () => {
  it('says that an object is accepted, why one is not, and when that changes', async () => {
    harness.server.put(set('good'));
    await agent('n1');
    await until('good is accepted', () => accepted('good') !== undefined);
    expect(accepted('good')).toMatchObject({ status: 'True', reason: 'Valid', message: '', observedGeneration: 1 });
    expect(events()).toEqual([]);
    const since = accepted('good')?.['lastTransitionTime'];
    await sleep(5);
    harness.server.put({ ...set('good', ['10.0.0.2']), status: stored('good')?.['status'] } as StoredObject);
    await until('the change is accepted', () => accepted('good')?.['observedGeneration'] === 2);
    expect(accepted('good')?.['lastTransitionTime']).toBe(since);
    harness.server.put({ ...set('good', ['nonsense']), status: stored('good')?.['status'] } as StoredObject);
    await until('it is refused', () => accepted('good')?.['status'] === 'False');
    expect(accepted('good')).toMatchObject({ reason: 'Invalid', observedGeneration: 3, message: expect.stringContaining('spec.addresses[0]: ') as unknown });
    expect(accepted('good')?.['lastTransitionTime']).not.toBe(since);
    await until('an event', () => events().length === 1);
    expect(events()[0]).toMatchObject({
      type: 'Warning', reason: 'Invalid', reportingController: 'dfw.dev/agent', reportingInstance: 'n1', regarding: { apiVersion: 'dfw.dev/v1', kind: 'AddressSet', name: 'good', uid: stored('good')?.metadata['uid'] },
    });
    const before = writes();
    await sleep(300);
    expect(writes()).toBe(before);
  });

  it('leaves the conditions of others alone', async () => {
    harness.server.put({ ...set('a'), status: { conditions: [{ type: 'Reviewed', status: 'True' }] } } as StoredObject);
    await agent('n1');
    await until('accepted', () => accepted('a') !== undefined);
    expect(stored('a')?.['status']).toMatchObject({ conditions: [{ type: 'Reviewed', status: 'True' }, { type: 'Accepted' }] });
  });

  it('is written about once by many agents, also while one of them cannot', async () => {
    const nodes = Array.from({ length: 6 }, (_, index) => `n${index}`);
    for (const name of nodes) harness.server.put({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
    for (const node of nodes) await agent(node, 1_000);
    for (let index = 0; index < 12; index++) harness.server.put(set(`s${index}`));
    await until('all are told', () => Array.from({ length: 12 }, (_, index) => accepted(`s${index}`)).every((condition) => condition !== undefined));
    await sleep(1_500);
    // Six agents could write 72; a slow machine lets a turn or two begin before the last one's write was seen.
    expect(writes()).toBeLessThanOrEqual(12 + 6);
    expect(new Set(harness.server.requests.filter(({ verb }) => verb === 'patch').map(({ path }) => path)).size).toBe(12);
  });

  it('writes a few a second when there is much to tell, and goes on', async () => {
    for (let index = 0; index < 60; index++) harness.server.put(set(`s${index}`));
    const began = Date.now();
    await agent('n1', 1);
    await until('some', () => writes() >= 20);
    await sleep(500);
    const rate = writes() - 20;
    expect(rate).toBeLessThan(15);
    await until('all', () => writes() === 60);
    expect(Date.now() - began).toBeGreaterThan(5_000);
  });

  it('does without when it may not write, and says so', async () => {
    harness.server.authorize = ({ verb }) => verb !== 'patch';
    harness.server.put(set('a'));
    const { source, log } = await agent('n1', 1);
    await until('it is said', () => log.lines.some((line) => line.includes('kubernetes.status_unwritten') && line.includes('403')));
    expect(source.synced).toBe(true);
    expect(source.troubles).toEqual([]);
    await sleep(200);
    expect(writes()).toBe(1);
  });

  it("knows an Attachment of another host by its node, and keeps nothing of it", async () => {
    const attachment = (name: string, node?: string) => ({ apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name }, spec: { ...(node === undefined ? {} : { node }), workload: { kind: 'Pod', name: 'p' }, interface: 'veth0' } });
    harness.server.put(attachment('mine', 'n1'));
    harness.server.put(attachment('other', 'n2'));
    harness.server.put(attachment('any'));
    const { source } = await agent('n1');
    const attachments = (): string[] => [...source.snapshot().objects.keys()].filter((key) => key.startsWith('Attachment/')).sort();
    expect(attachments()).toEqual(['Attachment/any', 'Attachment/mine']);
    harness.server.put(attachment('mine', 'n2'));
    harness.server.put(attachment('other', 'n1'));
    await until('they changed hosts', () => attachments().join() === 'Attachment/any,Attachment/other');
  });
});
