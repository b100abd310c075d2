/** The status of Egresses, written where they come from, against the API server of the tests. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Status } from '../../src/model/status.js';
import { systemClock } from '../../src/platform/clock.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import type { KubernetesSource } from '../../src/sources/kubernetes/kubernetes-source.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';
import { StatusPatches } from '../../src/sources/kubernetes/status-patches.js';
import { simpleCrd } from '../support/api-server/definitions.js';
import { startHarness, type Harness } from '../support/api-server/harness.js';
import { makeSource } from '../support/api-server/source.js';
import { eventually } from '../support/command.js';

const API = 'crd.antrea.io/v1beta1';
const active: Status = { egressIP: '192.0.2.1', egressNode: 'n1', conditions: [{ type: 'IPAllocated', status: 'True' }, { type: 'IPAssigned', status: 'True' }] };

describe('status of Egresses', () => {
  let harness: Harness;
  let source: KubernetesSource;
  let client: HttpApiClient;
  let ending: AbortController;
  let wanted: Map<string, Status>;
  let said: readonly string[];
  beforeAll(async () => {
    harness = await startHarness({ bookmarkMs: 200 });
    for (const [kind, plural] of [['Egress', 'egresses'], ['ExternalIPPool', 'externalippools']] as const) harness.server.put(simpleCrd(API, kind, plural, false));
    client = new HttpApiClient({ kubeconfig: harness.kubeconfig, reader: new InlineCredentials(), clock: systemClock });
    const made = makeSource(harness);
    ({ source } = made);
    said = made.log.lines;
    await source.start(new AbortController().signal);
    const patches = new StatusPatches({ client, seen: (key) => source.snapshot().manifests.get(key), served: (kind) => source.served(kind), clock: systemClock, log: made.log, times: { everyMs: 10, failedMs: 50, deniedMs: 100 } });
    wanted = new Map();
    ending = new AbortController();
    patches.start(() => wanted, ending.signal);
  });
  afterAll(async () => {
    ending.abort();
    await source.stop();
    await client.close();
    await harness.close();
  });
  beforeEach(() => {
    harness.server.fault = () => undefined;
    harness.server.authorize = () => true;
  });
  afterEach(() => wanted.clear());

  const put = (name: string, status?: object): void => {
    harness.server.put({ apiVersion: API, kind: 'Egress', metadata: { name }, spec: { appliedTo: { podSelector: {} }, externalIPPool: 'p' }, ...(status === undefined ? {} : { status }) } as never);
  };
  const stored = (name: string, kind = 'Egress'): Record<string, unknown> | undefined => harness.server.get(API, kind, name)?.['status'] as Record<string, unknown> | undefined;
  const writes = (): number => harness.server.requests.filter(({ verb }) => verb === 'patch').length;
  const until = (what: string, test: () => boolean): Promise<true> => eventually(what, async () => (test() ? true : undefined), 10_000, 10);
  const still = async (): Promise<void> => {
    const looked = harness.server.storage.revision;
    // Ten looks.
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(harness.server.storage.revision).toBe(looked);
  };

  it('is written once, again when it differs, and leaves the conditions of others', async () => {
    put('a', { conditions: [{ type: 'Reviewed', status: 'True' }, { type: 'IPAssigned', status: 'True', lastTransitionTime: '2020-01-01T00:00:00Z' }] });
    wanted.set('Egress/a', active).set('Egress/none', active);
    await until('a status', () => stored('a')?.['egressNode'] === 'n1');
    expect(stored('a')).toMatchObject({
      egressIP: '192.0.2.1', conditions: [
        { type: 'Reviewed', status: 'True' }, { type: 'IPAllocated', status: 'True', reason: 'Done', message: '' }, { type: 'IPAssigned', status: 'True', lastTransitionTime: '2020-01-01T00:00:00Z' },
      ],
    });
    await still();
    wanted.set('Egress/a', { egressIP: '192.0.2.1', egressNode: null, conditions: [{ type: 'IPAssigned', status: 'False', message: 'no node has it' }] });
    await until('no node', () => stored('a')?.['egressNode'] === undefined);
    expect(stored('a')?.['conditions']).toContainEqual(expect.objectContaining({ type: 'IPAssigned', status: 'False', reason: 'Pending', message: 'no node has it' }));
    expect(stored('a')?.['conditions']).toContainEqual({ type: 'Reviewed', status: 'True' });
    // Somebody else writes it.
    put('a', { egressNode: 'other' });
    await until('it is ours again', () => stored('a')?.['egressNode'] === undefined);
    await still();
  });

  it('of a pool is its usage', async () => {
    harness.server.put({ apiVersion: API, kind: 'ExternalIPPool', metadata: { name: 'p' }, spec: { ipRanges: [{ cidr: '192.0.2.0/24' }], nodeSelector: {} } } as never);
    wanted.set('ExternalIPPool/p', { usage: { total: 254, used: 1 } });
    await until('usage', () => stored('p', 'ExternalIPPool') !== undefined);
    expect(stored('p', 'ExternalIPPool')).toEqual({ usage: { total: 254, used: 1 } });
    await still();
  });

  it('waits while the server refuses, and comes when it does not', async () => {
    put('b');
    harness.server.authorize = ({ verb }) => verb !== 'patch';
    const before = writes();
    wanted.set('Egress/b', active);
    await until('a refusal is said', () => said.some((line) => line.includes('kubernetes.status_unwritten') && line.includes('Egress/b')));
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(writes() - before).toBeLessThanOrEqual(2);
    harness.server.authorize = () => true;
    await until('it is written', () => stored('b')?.['egressNode'] === 'n1');
  });
});
