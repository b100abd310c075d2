/** Egress between nodes: by the node that has the address, back the same way, and the address never on two nodes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EgressStateView, EgressView } from '../../src/model/views.js';
import type { Agent } from '../support/agent.js';
import { WorldServer } from '../support/api-server/world-server.js';
import { eventually } from '../support/command.js';
import { EtcdServer } from '../support/etcd.js';
import { createFleet, POD_CIDRS, SERVER_IPV4, SERVER_PORT, type Answer, type Fleet, type FleetNode } from '../support/fleet.js';
import type { Manifest } from '../support/policies.js';

const ADDRESS = '192.0.2.101';
const ADDRESS6 = '2001:db8:2::101';
const FAILOVER_MS = 5_000;

const pool = (name: string, start: string, selector: Readonly<Record<string, unknown>> = {}): Manifest => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'ExternalIPPool', metadata: { name }, spec: { ipRanges: [{ start, end: start }], nodeSelector: selector },
});
const egress = (name: string, from: string): Manifest => ({
  apiVersion: 'crd.antrea.io/v1beta1', kind: 'Egress', metadata: { name }, spec: { appliedTo: { podSelector: { matchLabels: { app: 'fruits' } } }, externalIPPool: from },
});
const on = (...nodes: readonly string[]): Readonly<Record<string, unknown>> => ({ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: nodes }] });

interface Settings {
  readonly egress: object;
  readonly sources: readonly object[];
  /** Where the Egresses are, if not in files. */
  readonly api?: WorldServer;
}
const leasesOf: Readonly<Record<'file' | 'etcd' | 'kubernetes', (fleet: Fleet) => Promise<Settings>>> = {
  file: async ({ cleanup }) => {
    const directory = await mkdtemp(join(tmpdir(), 'dfwt-leases-'));
    cleanup.defer('leases', () => rm(directory, { recursive: true, force: true }));
    return { egress: { leases: 'file', directory }, sources: [] };
  },
  etcd: async ({ cleanup }) => ({ egress: { leases: 'etcd' }, sources: [{ type: 'etcd', endpoints: (await EtcdServer.start(cleanup)).sockets }] }),
  kubernetes: async (fleet) => {
    const api = await WorldServer.create({ host: '', ...fleet }, fleet.nodes.map(({ netns }) => netns));
    return { api, egress: { leases: 'kubernetes' }, sources: [{ type: 'kubernetes', kubeconfig: api.kubeconfig }] };
  },
};

// Agents whose manifests are in etcd, or in the API, have one each.
describe.each(process.env['DFW_TEST_SOURCE'] === undefined ? ['etcd', 'kubernetes'] as const : ['file'] as const)('Egress of several nodes, leases in %s', (kind) => {
  // Where the nodes agree matters when one of them fails: the rest is tested once.
  let fleet: Fleet;
  let api: WorldServer | undefined;
  const agents = new Map<string, Agent>();

  beforeAll(async () => {
    fleet = await createFleet({
      'node-1': [{ name: 'apple', labels: { app: 'fruits' } }, { name: 'stone', labels: { app: 'stones' } }],
      'node-2': [{ name: 'pear', labels: { app: 'fruits' } }, { name: 'rock', labels: { app: 'stones' } }],
    });
    const leases = await leasesOf[kind](fleet);
    ({ api } = leases);
    for (const node of fleet.nodes) {
      agents.set(node.name, await node.agent({
        sources: leases.sources, config: { egress: { ...leases.egress, exceptCidrs: POD_CIDRS } }, manifests: { 'inventory.yaml': fleet.manifests(node), 'egress.yaml': [] },
      }));
    }
  }, 60_000);
  afterAll(() => fleet.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => {
    for (const node of fleet.nodes) console.log(await agent(node.name).tail(), (await fleet.exec(node.netns, 'sh', ['-c', 'ip addr; ip rule; ip route show table all | grep encap; nft list table inet dfw_egress; nft list table arp dfw_egress'])).stdout);
  }));

  const agent = (name: string): Agent => {
    const found = agents.get(name);
    if (found === undefined) throw new Error(`no agent on ${name}`);
    return found;
  };
  const view = async (name: string, of = 'node-1'): Promise<EgressView | undefined> => (await agent(of).ask<EgressStateView>('getegress')).egresses.find((one) => one.name === name);
  const set = async (...manifests: readonly Manifest[]): Promise<void> => {
    if (api !== undefined) await api.write('egress.yaml', manifests);
    else for (const one of agents.values()) if (one.running) await one.write('egress.yaml', manifests);
    for (const one of agents.values()) if (one.running) await one.sync();
  };
  /** All agents know that this node, or any, has all addresses. */
  const active = async (node?: string): Promise<string> => eventually('an owner', async () => {
    const states = await Promise.all([...agents.values()].filter((one) => one.running).map((one) => one.ask<EgressStateView>('getegress')));
    const all = states.flatMap(({ egresses }) => egresses);
    const owners = new Set(all.map((one) => one.node));
    const [owner = ''] = owners;
    return all.length > 0 && owners.size === 1 && all.every(({ state }) => state === 'active') && owner !== '' && (node === undefined || owner === node) ? owner : undefined;
  }, 15_000, 50);
  const seen = async (pod: string, family: 4 | 6 = 4): Promise<string | undefined> => fleet.seenFrom(fleet.pod(pod), family);
  const both = (nodes: Readonly<Record<string, unknown>> = {}): Manifest[] => [pool('four', ADDRESS, nodes), pool('six', ADDRESS6, nodes), egress('fruits', 'four'), egress('fruits-six', 'six')];

  it.runIf(kind !== 'kubernetes')('gives selected pods of both nodes the address, over both families, and others that of their node', async () => {
    expect(await seen('apple')).toBe('192.0.2.1');
    await set(...both(on('node-1')));
    await active('node-1');
    expect([await seen('apple'), await seen('pear'), await seen('apple', 6), await seen('pear', 6)]).toEqual([ADDRESS, ADDRESS, ADDRESS6, ADDRESS6]);
    expect([await seen('stone'), await seen('rock'), await seen('rock', 6)]).toEqual(['192.0.2.1', '192.0.2.2', '2001:db8:2::2']);
    // It follows the pool's node selector.
    await set(...both(on('node-2')));
    await active('node-2');
    expect([await seen('apple'), await seen('pear'), await seen('apple', 6), await seen('pear', 6)]).toEqual([ADDRESS, ADDRESS, ADDRESS6, ADDRESS6]);
    expect((await view('fruits', 'node-1'))?.workloads.map(({ name, node }) => `${name} ${node}`)).toEqual(['apple node-1', 'pear node-2']);
  });

  it.runIf(kind !== 'kubernetes')('leaves the cluster alone: pods reach pods and nodes with their own address', async () => {
    await set(...both(on('node-1')));
    await active('node-1');
    const server = `import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('0.0.0.0', 9000)); s.listen(); s.settimeout(10); c, a = s.accept(); c.send((a[0] + '\\n').encode()); c.close()`;
    for (const target of [fleet.pod('apple'), fleet.node('node-1')]) {
      const served = fleet.exec(target.netns, '/usr/bin/python3', ['-c', server]);
      const asked = await eventually('an answer', async () => {
        const { code, stdout } = await fleet.exec(fleet.pod('pear').netns, '/usr/bin/python3', ['-c', `import socket; print(socket.create_connection(('${target.ipv4}', 9000), timeout=2).makefile().readline().strip())`]);
        return code === 0 ? stdout.trim() : undefined;
      });
      expect(asked).toBe(fleet.pod('pear').ipv4);
      await served;
    }
  });

  it.runIf(kind !== 'kubernetes')('carries large transfers through the tunnel, both ways', async () => {
    await set(...both(on('node-1')));
    await active('node-1');
    const transfer = `import socket, threading
s = socket.create_connection(('${SERVER_IPV4}', ${SERVER_PORT}), timeout=5); f = s.makefile('rb'); f.readline()
data = bytes(range(256)) * 4096
threading.Thread(target=lambda: s.sendall(data)).start()
print(f.read(len(data)) == data)`;
    const { stdout, stderr } = await fleet.exec(fleet.pod('pear').netns, '/usr/bin/python3', ['-c', transfer]);
    expect(`${stdout}${stderr}`.trim()).toBe('True');
  });

  it.runIf(kind !== 'kubernetes')('takes tunnel packets of nodes only', async () => {
    await set(...both(on('node-1')));
    await active('node-1');
    // A ping from pear's address to the server, as VXLAN-GPE packet (flags I and P, next protocol IPv4) sent by the outside.
    const forge = `import socket, struct
ip = bytes.fromhex('4500001c00000000400100000a3c0302cb007101'); icmp = bytes.fromhex('0800f7fe00010000')
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes.fromhex('0c000001df77e600') + ip + icmp, ('192.0.2.1', 4790))`;
    const { code, stderr } = await fleet.exec(fleet.outside, '/usr/bin/python3', ['-c', forge]);
    expect(code, stderr).toBe(0);
    await eventually('a counted packet', async () => ((await fleet.exec(fleet.node('node-1').netns, 'nft', ['list', 'chain', 'inet', 'dfw_egress', 'arrive'])).stdout.includes('counter packets 1 ') ? true : undefined));
  });

  it.runIf(kind !== 'kubernetes')('drops what selected pods send while no node has the address', async () => {
    await set(...both(on('node-9')));
    await eventually('no owner', async () => ((await view('fruits'))?.node === '' ? true : undefined), 10_000);
    expect((await view('fruits'))?.state).toContain('pending: no node has 192.0.2.101');
    expect([await seen('apple'), await seen('pear'), await seen('stone')]).toEqual([undefined, undefined, '192.0.2.1']);
  });

  it.runIf(kind !== 'kubernetes')('ends connections whose address changes, and leaves nothing behind when the Egress goes', async () => {
    await set(...both(on('node-1')));
    await active('node-1');
    expect(await seen('pear')).toBe(ADDRESS);
    await set();
    await eventually('their own addresses', async () => (await seen('apple') === '192.0.2.1' && await seen('pear', 6) === '2001:db8:2::2' ? true : undefined), 10_000);
    for (const node of fleet.nodes) {
      await eventually(`nothing left on ${node.name}`, async () => {
        const { stdout } = await fleet.exec(node.netns, 'sh', ['-c', 'ip addr; ip rule; ip -6 rule; ip route show table all; nft list tables; ip link; cat /proc/net/nf_conntrack']);
        return ['dfw_egress', 'dfw-egress', '192.0.2.101', '2001:db8:2::101', 'fwmark'].every((text) => !stdout.includes(text)) ? true : undefined;
      }, 10_000);
    }
  });

  describe('a node that fails', () => {
    it.each(['SIGKILL', 'SIGSTOP'] as const)('%s of its agent: another has the address within 5 s, and never both', async (signal) => {
      // Also where an attempt before this one has failed.
      for (const one of agents.values()) {
        if (one.running) one.signal('SIGCONT');
        else await one.start();
      }
      await set(...both());
      const preferred = await eventually('owners', async () => {
        const found = await Promise.all(['fruits', 'fruits-six'].map((name) => view(name)));
        return found.every((one) => one?.state === 'active' && one.node !== '') ? found.map((one) => one?.node ?? '') : undefined;
      }, 15_000, 50);
      const owner = fleet.node(preferred[0] ?? '');
      const other = fleet.node(owner.name === 'node-1' ? 'node-2' : 'node-1');
      const addresses = preferred[1] === owner.name ? [ADDRESS, ADDRESS6] : [ADDRESS];
      const listener = await fleet.listen(addresses);
      await new Promise((resolve) => setTimeout(resolve, 500));
      agent(owner.name).signal(signal);
      const failedAt = performance.now();
      await eventually('the other node answers', async () => (addresses.every((address) => listener.answers.some((answer) => answer.mac === other.mac && answer.address === address)) ? true : undefined), FAILOVER_MS, 20);
      const tookMs = performance.now() - failedAt;
      expect(await seen(other.pods[0]?.name ?? '')).toBe(ADDRESS);
      if (api !== undefined) await eventually('the API says so', async () => ((api?.server.get('crd.antrea.io/v1beta1', 'Egress', 'fruits')?.['status'] as { egressNode?: string } | undefined)?.egressNode === other.name ? true : undefined), 5_000, 50);
      // The node without its agent sends on to the one that has the address only when its agent is there again.
      if (signal === 'SIGSTOP') {
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        agent(owner.name).signal('SIGCONT');
      } else await agent(owner.name).start();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const answers = await listener.stop();
      console.log(`${signal}: the other node answered after ${Math.round(tookMs)} ms; ${answers.length} answers`);
      expect(tookMs).toBeLessThan(FAILOVER_MS);
      for (const address of addresses) {
        const of = (node: FleetNode): Answer[] => answers.filter((answer) => answer.address === address && answer.mac === node.mac);
        const firstNew = Math.min(...of(other).map(({ atMs }) => atMs));
        const lastOld = Math.max(...of(owner).map(({ atMs }) => atMs).filter((atMs) => atMs < firstNew));
        // Whatever comes of the former owner later comes after the new one gave the address back.
        const again = of(owner).filter(({ atMs }) => atMs > firstNew);
        const lastNew = Math.max(...of(other).map(({ atMs }) => atMs));
        expect(again.filter(({ atMs }) => atMs < lastNew), `${address}: answers of the former owner among those of the new one`).toEqual([]);
        expect(lastOld).toBeLessThan(firstNew);
      }
    });
  });
});
