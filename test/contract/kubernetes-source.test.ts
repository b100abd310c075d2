/** The Kubernetes source against an API server over TLS that does all that real ones do to their clients. */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../src/platform/clock.js';
import { simpleCrd } from '../support/api-server/definitions.js';
import { startHarness, TOKEN, type Harness } from '../support/api-server/harness.js';
import { makeSource, type TestSource } from '../support/api-server/source.js';
import { eventually } from '../support/command.js';

const signal = new AbortController().signal;
let harness: Harness;
let running: TestSource[];

const namespace = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
const pod = (name: string, ip: string, more: object = {}) => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: 'web' }, managedFields: [{ manager: 'kubelet', fieldsV1: { 'f:status': {} } }] },
  spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x', ports: [{ name: 'http', containerPort: 80 }], env: [] }] }, status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [] }, ...more,
});
const policy = (name: string, spec: object = { podSelector: {} }) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: 'shop' }, spec });
const ruleTable = (name: string, spec: object = { rules: [{ id: 1, action: 'accept' }] }) => ({ apiVersion: 'dfw.dev/v1', kind: 'RuleTable', metadata: { name }, spec });
const RULE_TABLES = simpleCrd('dfw.dev/v1', 'RuleTable', 'ruletables', false);

async function started(options: Parameters<typeof makeSource>[1] = {}): Promise<TestSource> {
  const made = makeSource(harness, options);
  running.push(made);
  await made.source.start(signal);
  return made;
}
const until = async (what: string, test: () => boolean): Promise<void> => {
  await eventually(what, async () => (test() ? true : undefined), 10_000, 10);
};

beforeEach(async () => {
  running = [];
  harness = await startHarness({ bookmarkMs: 200 });
  harness.server.put(namespace('shop'));
});
afterEach(async () => {
  for (const { source } of running) await source.stop();
  await harness.close();
});

describe('reading and following', () => {
  it('reads everything in pages, trimmed, and follows additions, changes and removals', async () => {
    for (let index = 0; index < 35; index++) harness.server.put(pod(`p${index}`, `10.0.0.${index + 1}`));
    harness.server.put(policy('deny'));
    const { source, names } = await started();
    expect(source.synced).toBe(true);
    expect(names('Pod')).toHaveLength(35);
    expect(source.snapshot().objects.get('Pod/shop/p3')).toEqual({
      kind: 'Pod', metadata: { name: 'p3', namespace: 'shop', labels: { app: 'web' } }, nodeName: 'n1', addresses: ['10.0.0.4'], ports: [{ name: 'http', protocol: 6, port: 80 }],
    });
    expect(source.snapshot().manifests.get('Pod/shop/p3')).toEqual({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p3', namespace: 'shop', labels: { app: 'web' } },
      spec: { nodeName: 'n1', containers: [{ ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }] }] }, status: { podIPs: [{ ip: '10.0.0.4' }] },
    });
    const pages = harness.server.requests.filter(({ verb, resource }) => verb === 'list' && resource === 'pods');
    expect(pages.map(({ query }) => query.get('limit'))).toEqual(['10', '10', '10', '10']);
    harness.server.put(pod('new', '10.0.1.1'));
    harness.server.remove('networking.k8s.io/v1', 'NetworkPolicy', 'deny', 'shop');
    harness.server.put(pod('p0', '10.0.9.9'));
    await until('changes', () => names('Pod').includes('shop/new') && names('NetworkPolicy').length === 0 && JSON.stringify(source.snapshot().objects.get('Pod/shop/p0')).includes('10.0.9.9'));
    expect(source.troubles).toEqual([]);
  });

  it('does not change its snapshot for what nobody looks at', async () => {
    harness.server.put(pod('p', '10.0.0.1'));
    const { source } = await started();
    const before = source.snapshot();
    harness.server.put(pod('p', '10.0.0.1', { status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'Ready' }] } }));
    harness.server.put(pod('other', '10.0.0.2'));
    await until('the other pod', () => source.snapshot() !== before);
    expect(source.snapshot().objects.get('Pod/shop/p')).toBe(before.objects.get('Pod/shop/p'));
    expect(source.snapshot().revision).toBe(before.revision + 1);
  });

  it('lets finished pods go, which the server does not even send', async () => {
    harness.server.put(pod('p', '10.0.0.1'));
    harness.server.put(pod('done', '10.0.0.2', { status: { phase: 'Succeeded', podIP: '10.0.0.2' } }));
    const { names } = await started();
    expect(names('Pod')).toEqual(['shop/p']);
    harness.server.put(pod('p', '10.0.0.1', { status: { phase: 'Failed' } }));
    await until('the pod is gone', () => names('Pod').length === 0);
  });

  it('reads only the namespaces it is told to', async () => {
    harness.server.put(namespace('other'));
    harness.server.put(pod('here', '10.0.0.1'));
    harness.server.put({ ...pod('there', '10.0.0.2'), metadata: { name: 'there', namespace: 'other' } });
    const { names } = await started({ namespaces: ['shop'] });
    expect(names('Pod')).toEqual(['shop/here']);
    expect(names('Namespace')).toEqual(['other', 'shop']);
    expect(harness.server.requests.filter(({ resource }) => resource === 'pods').every(({ path }) => path === '/api/v1/namespaces/shop/pods')).toBe(true);
  });

  it('rereads everything when asked, and tells what it cannot', async () => {
    const { source, names } = await started();
    harness.server.fault = ({ verb }) => (verb === 'watch' ? { delayMs: 60_000 } : undefined);
    harness.server.closeWatches();
    harness.server.put(pod('unseen', '10.0.0.1'));
    await source.sync(signal);
    expect(names('Pod')).toEqual(['shop/unseen']);
    harness.server.fault = ({ resource }) => (resource === 'pods' ? { status: 503 } : undefined);
    await expect(source.sync(signal)).rejects.toThrow(/503/);
  });
});

describe('definitions that come and go', () => {
  it('watches for a definition that is not installed, follows its objects, and lets them go with it', async () => {
    const { source, names } = await started();
    expect(source.snapshot().errors).toEqual([]);
    expect(source.troubles).toEqual([]);
    harness.server.put(RULE_TABLES);
    harness.server.put(ruleTable('t'));
    await until('the table', () => names('RuleTable').includes('t'));
    harness.server.remove('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'ruletables.dfw.dev');
    await until('the table is gone', () => names('RuleTable').length === 0);
    await sleep(400);
    expect(source.troubles).toEqual([]);
    harness.server.put(RULE_TABLES);
    harness.server.put(ruleTable('again'));
    await until('the new table', () => names('RuleTable').join() === 'again');
  });

  it('keeps objects of a kind whose definition is away for a moment', async () => {
    harness.server.put(RULE_TABLES);
    harness.server.put(ruleTable('t'));
    const { source, names } = await started({ times: { absentMs: 60_000 } });
    // As a server that starts: custom resources are not served yet.
    harness.server.fault = ({ resource }) => (resource === 'ruletables' ? { status: 404 } : undefined);
    harness.server.closeWatches(true);
    await until('it is missed', () => source.troubles.some(({ reason }) => reason.includes('404')));
    expect(names('RuleTable')).toEqual(['t']);
    harness.server.fault = () => undefined;
    await until('it is well', () => source.troubles.length === 0);
    expect(names('RuleTable')).toEqual(['t']);
  });

  it('goes over to the newer version of a kind', async () => {
    const tier = (version: string) => ({ apiVersion: `crd.antrea.io/${version}`, kind: 'Tier', metadata: { name: 'gold' }, spec: { priority: 7 } });
    harness.server.put(simpleCrd('crd.antrea.io/v1alpha1', 'Tier', 'tiers', false));
    harness.server.put(tier('v1alpha1'));
    const { source, names } = await started();
    expect(names('Tier')).toEqual(['gold']);
    expect(source.snapshot().manifests.get('Tier/gold')).toMatchObject({ apiVersion: 'crd.antrea.io/v1alpha1' });
    const both = simpleCrd('crd.antrea.io/v1beta1', 'Tier', 'tiers', false) as unknown as { spec: { versions: object[] } };
    both.spec.versions.push({ name: 'v1alpha1', served: true, storage: false });
    harness.server.put(both as never);
    await until('the new version', () => JSON.stringify(source.snapshot().manifests.get('Tier/gold')).includes('v1beta1'));
    expect(names('Tier')).toEqual(['gold']);
  });
});

describe('objects that cannot be used', () => {
  it('refuses them with their place, and the last good version stays; mended they count again', async () => {
    harness.server.put(RULE_TABLES);
    harness.server.put(ruleTable('t'));
    const { source } = await started();
    const good = source.snapshot().objects.get('RuleTable/t');
    harness.server.put(ruleTable('t', { rules: [{ id: 'x', action: 'accept' }] }));
    harness.server.put(policy('junk', { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'nonsense' } }] }] }));
    await until('refusals', () => source.snapshot().errors.length === 2);
    expect(source.snapshot().errors).toEqual(expect.arrayContaining([
      { object: 'RuleTable/t', path: 'spec.rules[0].id', message: expect.stringContaining('whole number') as unknown },
      { object: 'NetworkPolicy/shop/junk', path: 'spec.ingress[0].from[0].ipBlock.cidr', message: expect.any(String) as unknown },
    ]));
    expect(source.snapshot().objects.get('RuleTable/t')).toBe(good);
    expect(source.snapshot().objects.has('NetworkPolicy/shop/junk')).toBe(false);
    harness.server.put(ruleTable('t', { rules: [{ id: 5, action: 'drop' }] }));
    harness.server.remove('networking.k8s.io/v1', 'NetworkPolicy', 'junk', 'shop');
    await until('all mended', () => source.snapshot().errors.length === 0);
    expect(source.snapshot().objects.get('RuleTable/t')).toMatchObject({ rules: [{ id: 5 }] });
  });

  it('keeps the last good version over a restart of the agent', async () => {
    harness.server.put(RULE_TABLES);
    harness.server.put(ruleTable('t'));
    const first = await started({ stored: true });
    await first.source.stop();
    harness.server.put(ruleTable('t', { rules: 'junk' }));
    const second = await started({ stored: true });
    await until('the refusal', () => second.source.snapshot().errors.length > 0);
    expect(second.source.snapshot().errors).toMatchObject([{ object: 'RuleTable/t', path: 'spec.rules' }]);
    expect(second.source.snapshot().objects.get('RuleTable/t')).toMatchObject({ rules: [{ id: 1 }] });
  });
});

describe('a server in trouble', () => {
  it('applies the difference after 410, in the middle of watching and of paging', async () => {
    for (let index = 0; index < 30; index++) harness.server.put(pod(`p${index}`, `10.0.0.${index + 1}`));
    const { names, log } = await started();
    harness.server.fault = ({ verb }) => (verb === 'watch' ? { status: 503 } : undefined);
    harness.server.closeWatches(true);
    harness.server.remove('v1', 'Pod', 'p7', 'shop');
    harness.server.put(pod('late', '10.0.2.1'));
    harness.server.storage.compact();
    let pages = 0;
    // Between two pages everything is compacted, once.
    harness.server.fault = ({ verb, resource, query }) => {
      if (verb === 'list' && resource === 'pods' && query.has('continue') && pages++ === 0) {
        harness.server.put(pod('later', '10.0.2.2'));
        harness.server.storage.compact();
      }
      return undefined;
    };
    await until('the difference', () => names('Pod').includes('shop/late') && names('Pod').includes('shop/later') && !names('Pod').includes('shop/p7'));
    expect(names('Pod')).toHaveLength(31);
    expect(pages).toBe(1);
    expect(log.lines.some((line) => line.includes('kubernetes.expired'))).toBe(true);
  });

  it('keeps up when every watch is closed after a short time', async () => {
    harness.server.fault = ({ verb }) => (verb === 'watch' ? { closeAfterMs: 50, cut: Math.random() < 0.5 } : undefined);
    const { source, names } = await started();
    for (let index = 0; index < 40; index++) {
      harness.server.put(pod(`p${index}`, `10.0.0.${index + 1}`));
      if (index > 10) harness.server.remove('v1', 'Pod', `p${index - 10}`, 'shop');
      await sleep(15);
    }
    await until('the end state', () => names('Pod').length === 11 && names('Pod').includes('shop/p39'));
    // From where it was, and only now and then a look whether the server is still the same.
    const asked = (wanted: string): number => harness.server.requests.filter(({ verb, resource }) => verb === wanted && resource === 'pods').length;
    expect(asked('watch')).toBeGreaterThan(3);
    expect(asked('list')).toBeLessThan(asked('watch'));
    expect(source.synced).toBe(true);
  });

  it('never takes a part of a list for the truth', async () => {
    for (let index = 0; index < 30; index++) harness.server.put(policy(`n${index}`));
    const { source, names } = await started();
    expect(names('NetworkPolicy')).toHaveLength(30);
    let bad = 0;
    harness.server.fault = ({ verb, resource, query }) => {
      if (resource !== 'networkpolicies') return undefined;
      if (verb === 'list' && query.has('continue') && bad < 6) return [{ truncate: true as const }, { status: 500 }, { destroy: true as const }][bad++ % 3];
      return undefined;
    };
    let least = Infinity;
    source.onChange(() => { least = Math.min(least, names('NetworkPolicy').length); });
    harness.server.storage.compact();
    harness.server.put(policy('n30'));
    harness.server.storage.compact();
    harness.server.closeWatches(true);
    const done = source.sync(signal).catch(() => undefined);
    await until('the new policy', () => names('NetworkPolicy').includes('shop/n30'));
    await done;
    // What is seen in the snapshot is told a moment later.
    await until('it is told', () => least < Infinity);
    expect(least).toBe(31);
    expect(bad).toBe(6);
  });

  it('says what is wrong and since when, keeps everything, and catches up by itself', async () => {
    harness.server.put(policy('deny'));
    const { source, names } = await started();
    const before = Date.now();
    await harness.server.stop();
    await until('trouble', () => source.troubles.length > 0);
    expect(source.troubles[0]?.reason).toMatch(/cannot be reached \(ECONN/);
    const since = (): number => Math.min(...source.troubles.map((trouble) => trouble.since));
    const first = since();
    expect(first).toBeGreaterThanOrEqual(before);
    await sleep(300);
    // Tried again since then; a kind whose trouble began a moment earlier may be told of later.
    expect(since()).toBeGreaterThanOrEqual(before);
    expect(since()).toBeLessThanOrEqual(first);
    expect(names('NetworkPolicy')).toEqual(['shop/deny']);
    harness.server.put(policy('more'));
    await harness.server.start();
    await until('it catches up', () => names('NetworkPolicy').length === 2 && source.troubles.length === 0);
  });

  it('survives answers of 500 and 429, slow answers and hanging watches', async () => {
    harness.server.fault = ({ verb }) => {
      const dice = Math.random();
      if (dice < 0.15) return { status: 500 };
      if (dice < 0.3) return { status: 429, retryAfter: 0.05 };
      return { delayMs: verb === 'watch' ? 100 : 30 };
    };
    const { names, source } = await started();
    harness.server.put(pod('p', '10.0.0.1'));
    await until('the pod', () => names('Pod').length === 1);
    harness.server.fault = () => undefined;
    await until('peace', () => source.troubles.length === 0);
    expect(names('Pod')).toEqual(['shop/p']);
  });

  it('gives up a watch on which nothing comes any more', async () => {
    const { names } = await started({ times: { watchIdleMs: 300 } });
    // Neither events nor bookmarks: a connection that a balancer has forgotten. And one that is never answered.
    for (const [name, fault] of [['p', { silent: true }], ['q', { delayMs: 3_600_000 }]] as const) {
      harness.server.fault = ({ verb }) => (verb === 'watch' ? fault : undefined);
      harness.server.closeWatches();
      await sleep(100);
      harness.server.fault = () => undefined;
      harness.server.put(pod(name, '10.0.0.1'));
      await until('the pod', () => names('Pod').includes(`shop/${name}`));
    }
    expect(names('Pod')).toEqual(['shop/p', 'shop/q']);
  });

  it('reads again when the revision goes backwards, with connections cut and with watches closed in order', async () => {
    for (const cut of [true, false]) {
      const { names, source } = await started();
      const backup = harness.server.storage.backup();
      harness.server.put(policy(`after-${cut}`));
      for (let index = 0; index < 50; index++) harness.server.put(pod('busy', `10.0.0.${index + 1}`));
      await until('the policy', () => names('NetworkPolicy').includes(`shop/after-${cut}`));
      harness.server.storage.restore(backup);
      harness.server.put(policy(`instead-${cut}`));
      harness.server.closeWatches(cut);
      await until('the older state', () => !names('NetworkPolicy').includes(`shop/after-${cut}`) && names('NetworkPolicy').includes(`shop/instead-${cut}`));
      await until('no pods', () => names('Pod').length === 0);
      expect(source.troubles).toEqual([]);
      await source.stop();
    }
  });
});

describe('credentials', () => {
  it('reads a token again when its file changes, and when the server refuses it', async () => {
    const file = join(harness.directory, 'token');
    await writeFile(file, TOKEN);
    await harness.use({ tokenFile: file });
    const { source, names } = await started();
    harness.server.tokens.clear();
    harness.server.tokens.set('second', 'agent');
    harness.server.closeWatches(true);
    await until('trouble', () => source.troubles.some(({ reason }) => reason.includes('401')));
    harness.server.put(policy('deny'));
    expect(names('NetworkPolicy')).toEqual([]);
    await writeFile(file, 'second\n');
    await until('it is let in', () => names('NetworkPolicy').length === 1 && source.troubles.length === 0);
  });

  it('comes with a client certificate, and with what an exec plugin prints', async () => {
    await harness.use({ certificate: await harness.authority.client('agent-7') });
    await started();
    expect(harness.server.requests.at(-1)?.user).toBe('agent-7');
    const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token: TOKEN } };
    await harness.use({ exec: { command: 'echo', args: [JSON.stringify(credential)] } });
    const { source } = await started();
    expect(source.synced).toBe(true);
    expect(harness.server.requests.at(-1)?.user).toBe('system:serviceaccount:kube-system:dfw-agent');
  });

  it('tells of certificates that have expired, theirs and ours, of clocks that differ, and of what it may not do', async () => {
    const { source } = await started();
    const told = async (pattern: RegExp): Promise<void> => {
      await eventually(`trouble ${pattern.source}`, async () => (source.troubles.some(({ reason }) => pattern.test(reason)) ? true : undefined), 5_000, 20).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${JSON.stringify(source.troubles)}`);
      });
    };
    await harness.server.stop();
    await harness.server.start(await harness.authority.server({ expired: true }));
    await told(/certificate has expired, or this host's clock .* is wrong/);
    await harness.server.stop();
    harness.server.clockOffsetMs = -3_600_000;
    await harness.server.start();
    await told(/clock is 3[56]\d\d s ahead of the API server's/);
    harness.server.clockOffsetMs = 0;
    await harness.use({ certificate: await harness.authority.client('old', 'x', { expired: true }) });
    harness.server.closeWatches(true);
    await told(/client certificate .* expired at/);
    await told(/401/);
    await harness.use({ token: TOKEN });
    harness.server.authorize = ({ resource }) => resource !== 'pods';
    harness.server.closeWatches(true);
    await told(/does not permit GET .*403.*: pods/);
    harness.server.authorize = () => true;
    await until('peace', () => source.troubles.length === 0);
    expect(source.synced).toBe(true);
  });
});

describe('a start without the API server', () => {
  it('waits for it when nothing is stored, and takes the stored state when there is one', async () => {
    harness.server.put(policy('deny'));
    harness.server.put(pod('p', '10.0.0.1'));
    const first = await started({ stored: true });
    harness.server.put(policy('second'));
    await until('the second', () => first.names('NetworkPolicy').length === 2);
    await first.source.stop();
    await harness.server.stop();

    const stored = await started({ stored: true });
    expect(stored.source.synced).toBe(false);
    expect(stored.names('NetworkPolicy')).toEqual(['shop/deny', 'shop/second']);
    expect(stored.source.snapshot().objects.get('Pod/shop/p')).toMatchObject({ addresses: ['10.0.0.1'] });
    expect(stored.source.troubles.map(({ reason }) => reason).join('\n')).toMatch(/in force is what was stored at 20/);
    const waiting = makeSource(harness);
    running.push(waiting);
    let ready = false;
    const starting = waiting.source.start(signal).then(() => { ready = true; });
    await sleep(600);
    expect(ready).toBe(false);
    expect(waiting.source.snapshot().revision).toBe(0);

    harness.server.storage.compact();
    harness.server.remove('networking.k8s.io/v1', 'NetworkPolicy', 'deny', 'shop');
    await harness.server.start();
    await starting;
    expect(waiting.names('NetworkPolicy')).toEqual(['shop/second']);
    await until('the change', () => stored.source.synced && stored.names('NetworkPolicy').join() === 'shop/second');
    expect(stored.source.troubles).toEqual([]);
  });

  it('has in the file what it publishes, before anybody can enforce it', async () => {
    const { source } = await started({ stored: true });
    const file = join(harness.directory, 'state', 'kubernetes.ndjson');
    await until('the file', () => existsSync(file));
    const seen: boolean[] = [];
    source.onChange(() => {
      const table = source.snapshot().manifests.get('NetworkPolicy/shop/busy');
      seen.push(readFileSync(file, 'utf8').includes(JSON.stringify(table)));
    });
    for (let index = 0; index < 20; index++) {
      const before = seen.length;
      harness.server.put(policy('busy', { podSelector: { matchLabels: { n: String(index) } } }));
      await until('the change', () => seen.length > before);
    }
    expect(seen).not.toContain(false);
  });

  it('waits longer for a server that answers than for one that does not', async () => {
    harness.server.put(policy('deny'));
    const first = await started({ stored: true });
    await first.source.stop();
    for (const hangs of [false, true]) {
      if (hangs) harness.server.fault = () => ({ delayMs: 3_600_000 });
      else await harness.server.stop();
      // Would take the test's time, were it waited for.
      const { source, names } = await started({ stored: true, times: { answerMs: 50, startMs: 3_600_000 } });
      expect(source.synced).toBe(false);
      expect(names('NetworkPolicy')).toEqual(['shop/deny']);
      await source.stop();
      if (!hangs) await harness.server.start();
    }
    // The time of a silent server ends when the first list is asked for: it is none.
    const ANSWER_MS = 3_599_999;
    let ends = (): void => undefined;
    const clock: Clock = {
      ...systemClock,
      after: (ms, action) => {
        if (ms === ANSWER_MS) ends = action;
        return systemClock.after(ms, action);
      },
    };
    harness.server.fault = ({ verb }) => {
      if (verb === 'list') ends();
      return undefined;
    };
    harness.server.put(policy('more'));
    const { source, names } = await started({ stored: true, clock, times: { answerMs: ANSWER_MS, startMs: 3_600_000 } });
    expect(source.synced).toBe(true);
    expect(names('NetworkPolicy')).toEqual(['shop/deny', 'shop/more']);
  });

  it('stores nothing that is not complete', async () => {
    harness.server.put(policy('deny'));
    harness.server.authorize = ({ resource }) => resource !== 'pods';
    const partial = makeSource(harness, { stored: true });
    running.push(partial);
    const starting = partial.source.start(signal).catch(() => undefined);
    await until('the refusal', () => partial.source.troubles.length > 0);
    expect(partial.source.snapshot().revision).toBe(0);
    await partial.source.stop();
    await starting;
    await harness.server.stop();
    const next = makeSource(harness, { stored: true });
    running.push(next);
    let ready = false;
    const again = next.source.start(signal).then(() => { ready = true; }, () => undefined);
    await sleep(500);
    expect(ready).toBe(false);
    await next.source.stop();
    await again;
  });

  it('follows the journal to the last whole line, and writes it anew', async () => {
    const first = await started({ stored: true });
    for (let index = 0; index < 30; index++) harness.server.put(policy('busy', { podSelector: { matchLabels: { n: String(index) } } }));
    harness.server.put(policy('other'));
    harness.server.remove('networking.k8s.io/v1', 'NetworkPolicy', 'other', 'shop');
    await until('the last', () => JSON.stringify(first.source.snapshot().objects.get('NetworkPolicy/shop/busy')).includes('"29"'));
    await first.source.stop();
    await writeFile(join(harness.directory, 'state', 'kubernetes.ndjson'), '{"key":"NetworkPolicy/shop/busy","version":"9","mani', { flag: 'a' });
    await harness.server.stop();
    const second = await started({ stored: true });
    expect(second.source.snapshot().objects.get('NetworkPolicy/shop/busy')).toMatchObject({ podSelector: { matchLabels: { n: '29' } } });
    expect(second.names('NetworkPolicy')).toEqual(['shop/busy']);
    await rm(join(harness.directory, 'state'), { recursive: true });
  });
});
