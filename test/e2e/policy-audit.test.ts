/** Behaviours 70-73 of docs/behaviours.md: what policies log, and what they count. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Cluster, nine, tcp, udp, type Contact } from '../support/cluster.js';
import { eventually } from '../support/command.js';
import { acnp, denyAll, labels, namespace, networkPolicy, pods, port, service } from '../support/policies.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';
import { proxyServices } from '../support/service-proxy.js';

let cluster: Cluster;
let traffic: Traffic;
beforeAll(async () => {
  cluster = await Cluster.create(nine());
  traffic = await startTraffic(cluster.world);
});
afterAll(() => cluster.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log((await cluster.agent.audit()).slice(-20).join('\n'), await cluster.agent.tail())));
afterEach(async () => {
  await proxyServices(cluster.world, []);
  await cluster.reset();
});

const TCP80 = tcp(80);
const ANNOTATION = { 'networkpolicy.antrea.io/enable-logging': 'true' };

interface RuleJson { readonly id: number; readonly policy?: { readonly kind: string; readonly namespace?: string; readonly name: string; readonly rule?: string }; readonly stats?: { evals: number; packets: { in: number; out: number }; bytes: { in: number; out: number } } }
/** Rules of policies at a pod's filter; with counters when asked. */
async function rulesAt(reference: string, ...options: readonly string[]): Promise<RuleJson[]> {
  const { rulesets } = await cluster.agent.ask<{ rulesets: { rules: RuleJson[] }[] }>('getrules', '-f', reference, ...options);
  return rulesets.flatMap((ruleset) => ruleset.rules).filter((rule) => rule.policy !== undefined);
}

interface ExpectedLine { readonly pod: string; readonly action: 'PASS' | 'DROP' | 'REJECT'; readonly table: string; readonly direction: 'IN' | 'OUT'; readonly from: string; readonly to: string; readonly port?: number; readonly tag?: string }
/** Waits for one line of each, in both families, at the filter of the pod; returns the rule ids, in order. */
async function expectLines(expected: readonly ExpectedLine[]): Promise<number[]> {
  const { filters } = await cluster.agent.ask<{ filters: { hash: number; workload: { namespace: string; name: string } }[] }>('getfilters');
  const hashes = new Map(filters.map(({ hash, workload }) => [`${workload.namespace}/${workload.name}`, hash.toString(16).padStart(8, '0')]));
  const patterns = expected.flatMap(({ pod, action, table, direction, from, to, port: number = 80, tag }) => (['ipv4', 'ipv6'] as const).map((family) => {
    const [source, destination] = [cluster.pod(from)[family], cluster.pod(to)[family]].map((address) => canonical(address).replaceAll('.', String.raw`\.`));
    return new RegExp(
      `^\\S+Z ${hashes.get(pod)} INET6? match ${action} ${table.replaceAll('*', '\\*')}/(\\d+) ${direction} \\d+ TCP ${source}/\\d+->${destination}/${number} S${tag === undefined ? '' : ` ${tag}`}$`,
    );
  }));
  let missing: readonly RegExp[] = patterns;
  const lines = await eventually('the lines', async () => {
    const found = await cluster.agent.audit();
    missing = patterns.filter((pattern) => !found.some((line) => pattern.test(line)));
    return missing.length === 0 ? found : undefined;
  }).catch(() => []);
  expect(missing).toEqual([]);
  return patterns.map((pattern) => Number(lines.map((line) => pattern.exec(line)).find((match) => match !== null)?.[1]));
}
/** As RFC 5952 writes it. */
const canonical = (address: string): string => address.replace('fd10::0:2', 'fd10::2');

describe('audit log', () => {
  it('70. a drop with a label is logged with its policy and label, and its number names the rule', async () => {
    await cluster.policies(acnp('test-log-acnp-deny', {
      appliedTo: [pods('a', 'x')],
      egress: [{ name: 'DropToZ', action: 'Drop', to: [namespace('z')], ports: [port(80)], enableLogging: true, logLabel: 'testLogLabel' }],
    }));
    await cluster.expectContacts(['z/a', 'z/b', 'z/c'].flatMap((to) => cluster.toPod('x/a', to, TCP80, 'Drp')));
    const ids = await expectLines(['z/a', 'z/b', 'z/c'].map((to) => ({
      pod: 'x/a', action: 'DROP', table: 'AntreaClusterNetworkPolicy:test-log-acnp-deny', direction: 'OUT', from: 'x/a', to, tag: 'testLogLabel',
    })));
    const rules = await rulesAt('x/a');
    for (const id of ids) expect(rules.find((rule) => rule.id === id)?.policy).toMatchObject({ kind: 'ClusterNetworkPolicy', name: 'test-log-acnp-deny', rule: 'DropToZ' });
  });

  it('71. namespaces annotated for logging: what their NetworkPolicies allow, and what isolation drops, also where there is no rule', async () => {
    for (const name of ['x', 'y']) await cluster.namespace({ name, labels: { ns: name }, annotations: ANNOTATION });
    await cluster.policies(
      networkPolicy('x', 'allow-x-b-to-x-a', { podSelector: labels({ pod: 'a' }), policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: labels({ pod: 'b' }) }], ports: [port(80)] }] }),
      denyAll('y', 'Ingress'), denyAll('z', 'Ingress'),
    );
    const contacts: Contact[] = [...cluster.toPod('x/b', 'x/a', TCP80, 'Con'), ...cluster.toPod('x/c', 'x/a', TCP80, 'Drp'), ...cluster.toPod('y/b', 'y/a', TCP80, 'Drp'), ...cluster.toPod('z/b', 'z/a', TCP80, 'Drp')];
    await cluster.expectContacts(contacts);
    await expectLines([
      { pod: 'x/a', action: 'PASS', table: 'K8sNetworkPolicy:x/allow-x-b-to-x-a', direction: 'IN', from: 'x/b', to: 'x/a' },
      { pod: 'x/a', action: 'DROP', table: 'K8sNetworkPolicy:isolation-ingress-logged', direction: 'IN', from: 'x/c', to: 'x/a' },
      { pod: 'y/a', action: 'DROP', table: 'K8sNetworkPolicy:isolation-ingress-logged', direction: 'IN', from: 'y/b', to: 'y/a' },
    ]);
    const { ipv4, ipv6 } = cluster.pod('z/a'); // of a namespace without the annotation
    expect((await cluster.agent.audit()).filter((line) => line.includes('K8sNetworkPolicy') && (line.includes(`->${ipv4}/`) || line.includes(`->${ipv6}/`)))).toEqual([]);
  });

  it('72. through a Service the line has the pod and its port', async () => {
    await cluster.namespace({ name: 'x', labels: { ns: 'x' }, annotations: ANNOTATION });
    const server = cluster.pod('x/c');
    const addresses = ['10.96.0.72', 'fd96::72'];
    await cluster.objects(service('x', 'web', { pod: 'c' }, [8000], addresses));
    await proxyServices(cluster.world, [server.ipv4, server.ipv6].map((to, index) => ({ address: addresses[index] ?? '', port: 8000, to, toPort: 81 })));
    await cluster.policies(networkPolicy('x', 'allow-xa-to-service', { podSelector: labels({ pod: 'c' }), policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: labels({ pod: 'a' }) }], ports: [port(81)] }] }));
    const through = (from: string, expected: Contact['expected']): Contact[] => addresses.map((address) => ({ ...tcp(8000), from, address, expected }));
    await cluster.expectContacts([...through('x/a', 'Con'), ...through('x/b', 'Drp')]);
    await expectLines([
      { pod: 'x/c', action: 'PASS', table: 'K8sNetworkPolicy:x/allow-xa-to-service', direction: 'IN', from: 'x/a', to: 'x/c', port: 81 },
      { pod: 'x/c', action: 'DROP', table: 'K8sNetworkPolicy:isolation-ingress-logged', direction: 'IN', from: 'x/b', to: 'x/c', port: 81 },
    ]);
  });
});

describe('statistics', () => {
  const SESSIONS = 10;
  const MESSAGES = 3;
  /** IP header, UDP header, "m1\n". */
  const MESSAGE_BYTES = { ipv4: 20 + 8 + 3, ipv6: 40 + 8 + 3 };
  /** "reach". */
  const DROPPED_BYTES = { ipv4: 20 + 8 + 5, ipv6: 40 + 8 + 5 };

  /** Until then packets of connections that go on are judged again, too. */
  const settled = (): Promise<true> => eventually('no connection to be judged again', async () => {
    const { components } = await cluster.client.status();
    return components.some(({ name, state }) => name === 'revalidation' && state === 'settled') ? true : undefined;
  });

  it('73. sessions, packets and bytes of an allowing and a dropping rule are those of the traffic', async () => {
    const PORTS = { allowed: 800, dropped: 4430 };
    const server = cluster.pod('y/b');
    await traffic.listen(server.netns, PORTS.allowed, 'udp');
    await cluster.policies(acnp('counted', {
      priority: 10, appliedTo: [pods('b', 'y')],
      ingress: Object.entries({ Allow: PORTS.allowed, Drop: PORTS.dropped }).map(([action, number]) => ({ name: action, action, from: [pods('c', 'x')], ports: [port(number, 'UDP')] })),
    }));
    await settled();
    const client = cluster.pod('x/c').netns;
    for (const destination of [server.ipv4, server.ipv6]) {
      for (let session = 0; session < SESSIONS; session += 1) {
        const connection = await traffic.connect({ netns: client, destination, port: PORTS.allowed, protocol: 'udp' });
        for (let message = 0; message < MESSAGES; message += 1) await connection.send();
        await eventually('the echoes', async () => ((await connection.stats()).echoed === MESSAGES ? true : undefined));
        await connection.close();
      }
    }
    await cluster.expectContacts(Array.from({ length: SESSIONS }, () => cluster.toPod('x/c', 'y/b', udp(PORTS.dropped), 'Drp')).flat());
    // Messages and their echoes.
    const packets = 2 * 2 * SESSIONS * MESSAGES;
    const bytes = 2 * SESSIONS * MESSAGES * (MESSAGE_BYTES.ipv4 + MESSAGE_BYTES.ipv6);
    const stats = await eventually('the counters', async () => {
      const rules = await rulesAt('y/b', '-s');
      const [allow, drop] = ['Allow', 'Drop'].map((name) => rules.find((rule) => rule.policy?.rule === name)?.stats);
      return allow !== undefined && drop !== undefined && allow.packets.in + allow.packets.out >= packets ? { allow, drop } : undefined;
    });
    expect({ evals: stats.allow.evals, packets: stats.allow.packets.in + stats.allow.packets.out, bytes: stats.allow.bytes.in + stats.allow.bytes.out })
      .toEqual({ evals: 2 * SESSIONS, packets, bytes });
    expect(stats.drop).toEqual({ evals: 2 * SESSIONS, packets: { in: 2 * SESSIONS, out: 0 }, bytes: { in: SESSIONS * (DROPPED_BYTES.ipv4 + DROPPED_BYTES.ipv6), out: 0 } });
  });
});
