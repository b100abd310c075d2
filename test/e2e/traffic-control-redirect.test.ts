/**
 * TrafficControl that sends traffic round: out by one end of a pair of devices, back by the other. Counted at both ends and at the pod. Behaviour 76 of Antrea's own tests.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually, mustRun } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { podManifests, ruleTable, type Manifest } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';

const PORT = 8080;
const REQUESTS = 10;
/** What else a host says of its own accord, ARP and neighbour discovery. */
const NOISE = 10;
const BODY = 'x'.repeat(20_000);
const SERVER = `import http.server,socket
class Answer(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    body=b'${BODY}'
    self.send_response(200); self.send_header('content-length',str(len(body))); self.end_headers(); self.wfile.write(body)
  def log_message(self,*_): pass
class Server(http.server.ThreadingHTTPServer):
  address_family=socket.AF_INET6
Server(('::',${PORT}),Answer).serve_forever()`;

/** Frames, as the kernel counts them at devices. */
interface Counts { readonly pod: number; readonly out: number; readonly back: number }

describe.each<WorldDatapath>(['nftables', 'ovs'])('redirects on %s', (datapath) => {
  let world: World;
  let agent: Agent;

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }], datapath });
    await mustRun('ip', ['-n', world.host, 'link', 'add', 'target1', 'type', 'veth', 'peer', 'name', 'return1']);
    for (const name of ['target1', 'return1']) {
      await world.exec(world.host, 'sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
      await mustRun('ip', ['-n', world.host, 'link', 'set', name, 'up', 'arp', 'off']);
    }
    // Segments as they are on the wire, so that all three count the same.
    for (const { netns } of world.workloads) await mustRun('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
    agent = await Agent.run(world, {
      manifests: {
        'pods.yaml': podManifests('default', world.workloads),
        'rules.yaml': [ruleTable('all', { rules: [{ id: 1, direction: 'inout', protocol: 'tcp', ports: [String(PORT)], action: 'accept' }, { id: 2, direction: 'inout', protocol: 'any', action: 'drop' }] })],
      },
    });
    void world.exec(world.workload('web').netns, '/usr/bin/python3', ['-c', SERVER], { timeoutMs: 170_000 }).catch(() => undefined);
    await eventually('a server', async () => ((await request(4, 1)) === 1 ? true : undefined), 15_000, 200);
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  /** How many requests got their whole answer. */
  async function request(family: 4 | 6, count: number, port = PORT): Promise<number> {
    const { ipv4, ipv6 } = world.workload('web');
    const url = `http://${family === 4 ? ipv4 : `[${ipv6}]`}:${port}/`;
    const script = `import urllib.request\nn=0\nfor i in range(${count}):\n  try: n+=len(urllib.request.urlopen('${url}',timeout=3).read())==${BODY.length}\n  except OSError: pass\nprint(n)`;
    return Number((await world.exec(world.workload('client').netns, '/usr/bin/python3', ['-c', script])).stdout);
  }
  const read = async (netns: string, device: string, ...names: readonly string[]): Promise<number> => {
    const { stdout } = await world.exec(netns, 'cat', names.map((name) => `/sys/class/net/${device}/statistics/${name}`));
    return stdout.trim().split('\n').reduce((sum, line) => sum + Number(line), 0);
  };
  const counts = async (): Promise<Counts> => ({
    pod: await read(world.workload('web').netns, 'eth0', 'rx_packets', 'tx_packets'), out: await read(world.host, 'target1', 'tx_packets'), back: await read(world.host, 'return1', 'rx_packets'),
  });
  async function during(work: () => Promise<void>): Promise<Counts> {
    const before = await counts();
    await work();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const after = await counts();
    return { pod: after.pod - before.pod, out: after.out - before.out, back: after.back - before.back };
  }
  async function load(...documents: readonly Manifest[]): Promise<void> {
    await agent.write('control.yaml', documents);
    await agent.sync();
    await eventually('active controls', async () => {
      const { trafficControls } = await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol');
      return trafficControls.length === documents.length && trafficControls.every(({ state }) => state === 'active') ? true : undefined;
    });
  }
  const redirect = (direction: 'Both' | 'Ingress' | 'Egress'): Manifest => ({
    apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'round' },
    spec: {
      appliedTo: { podSelector: { matchLabels: { pod: 'web' } } }, direction, action: 'Redirect', targetPort: { device: { name: 'target1' } }, returnPort: { device: { name: 'return1' } },
    },
  });

  it.each([4, 6] as const)('76. ten requests succeed, and each packet goes out and comes back, IPv%i', async (family) => {
    await load(redirect('Both'));
    expect(await request(family, 1)).toBe(1);
    const { pod, out, back } = await during(async () => expect(await request(family, REQUESTS)).toBe(REQUESTS));
    expect(pod).toBeGreaterThan(REQUESTS * 20);
    expect(Math.abs(pod - out), `pod ${pod}, out ${out}`).toBeLessThanOrEqual(NOISE);
    expect(Math.abs(back - pod), `pod ${pod}, back ${back}`).toBeLessThanOrEqual(NOISE);
  });

  it.each([[4, 'Ingress', 'rx_packets'], [4, 'Egress', 'tx_packets'], [6, 'Ingress', 'rx_packets'], [6, 'Egress', 'tx_packets']] as const)(
    'only one direction: IPv%i, %s', async (family, direction, counter) => {
      await load(redirect(direction));
      expect(await request(family, 1)).toBe(1);
      const before = await read(world.workload('web').netns, 'eth0', counter);
      const { out, back } = await during(async () => expect(await request(family, REQUESTS)).toBe(REQUESTS));
      const pod = await read(world.workload('web').netns, 'eth0', counter) - before;
      expect(Math.abs(pod - out), `pod ${pod}, out ${out}`).toBeLessThanOrEqual(NOISE);
      expect(Math.abs(back - pod), `pod ${pod}, back ${back}`).toBeLessThanOrEqual(NOISE);
    },
  );

  it('nothing passes by another way while the device is down, and nothing goes round without the control', async () => {
    await load(redirect('Both'));
    expect(await request(4, 1)).toBe(1);
    await mustRun('ip', ['-n', world.host, 'link', 'set', 'return1', 'down']);
    expect(await request(4, 1)).toBe(0);
    await mustRun('ip', ['-n', world.host, 'link', 'set', 'return1', 'up']);
    await eventually('an answer', async () => ((await request(4, 1)) === 1 ? true : undefined), 10_000);
    await load();
    const { pod, out, back } = await during(async () => expect(await request(4, REQUESTS)).toBe(REQUESTS));
    expect(pod).toBeGreaterThan(REQUESTS * 20);
    expect(out + back).toBeLessThanOrEqual(NOISE);
  });

  it('rules decide all the same', async () => {
    await load(redirect('Both'));
    expect(await request(4, 1, PORT + 1)).toBe(0);
    expect(await request(4, 1)).toBe(1);
  });
});
