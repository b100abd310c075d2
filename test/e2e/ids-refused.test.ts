/** Alerts about packets that rules refuse, with the real Suricata on both datapaths: they say so, and which rule it is; those about the rest do not. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AlertView, FilterView, StatusView, TrafficControlView } from '../../src/model/views.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { podManifests, ruleTable } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';

const SID = 9_000_011;
const SIGNATURE = `alert udp any any -> any any (msg:"test: a probe"; content:"probe-of-rules"; classtype:bad-unknown; sid:${SID}; rev:1;)\n`;
const SEND = `import socket,sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', int(sys.argv[3]))); s.sendto(b'probe-of-rules', (sys.argv[1], int(sys.argv[2])))`;
const [ACCEPTED, REFUSED] = [7002, 7003];

describe.each<WorldDatapath>(['nftables', 'ovs'])('alerts about what rules refuse on %s', (datapath) => {
  let world: World;
  let agent: Agent;
  let nextPort = 20_000;

  beforeAll(async () => {
    world = await createWorld({ workloads: [{ name: 'web' }, { name: 'client' }], datapath });
    const directory = await mkdtemp(join(tmpdir(), 'dfw-refused-e2e-'));
    world.cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    await mkdir(join(directory, 'signatures'));
    await writeFile(join(directory, 'signatures/probe.rules'), SIGNATURE);
    const only = (name: string): unknown => ({ workloads: [{ kind: 'Pod', namespace: 'shop', name }] });
    agent = await Agent.run(world, {
      config: { ids: { enabled: true, tap: 'dfw-tap0', sensor: 'suricata-tap0', signatures: join(directory, 'signatures'), eveFile: join(directory, 'eve/eve.json'), alertWindow: 0 } },
      manifests: {
        'pods.yaml': podManifests('shop', world.workloads),
        'rules.yaml': [
          ruleTable('of-web', { appliedTo: only('web'), rules: [{ id: 1, direction: 'inout', protocol: 'udp', ports: [String(ACCEPTED)], action: 'accept' }, { id: 9, direction: 'inout', protocol: 'any', action: 'drop' }] }),
          ruleTable('of-client', { appliedTo: only('client'), rules: [{ id: 20, direction: 'inout', protocol: 'any', action: 'accept' }] }),
        ],
        // What a client sends is copied before any rule, on either datapath.
        'mirror.yaml': [{
          apiVersion: 'crd.antrea.io/v1alpha2', kind: 'TrafficControl', metadata: { name: 'senders' },
          spec: { appliedTo: { podSelector: {} }, direction: 'Egress', action: 'Mirror', targetPort: { device: { name: 'dfw-tap0' } } },
        }],
      },
    });
    await eventually('a running engine', async () => ((await agent.ask<StatusView>('status')).components.find(({ name }) => name === 'ids')?.state === 'running' ? true : undefined), 60_000, 100);
  });
  afterAll(() => world.close());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

  const alerts = async (): Promise<AlertView[]> => (await agent.ask<{ alerts: AlertView[] }>('getalerts')).alerts;
  const filterOf = async (name: string): Promise<string> => (await agent.ask<{ filters: FilterView[] }>('getfilters')).filters.find(({ workload }) => workload.name === name)?.name ?? '';
  /** The alert about one datagram. */
  async function probe(from: string, to: string, port: number, family: 4 | 6): Promise<AlertView> {
    const source = (nextPort += 1);
    const { ipv4, ipv6 } = world.workload(to);
    await world.exec(world.workload(from).netns, '/usr/bin/python3', ['-c', SEND, family === 4 ? ipv4 : ipv6, String(port), String(source)]);
    return eventually('an alert', async () => (await alerts()).find((alert) => alert.source.port === source), 20_000, 100);
  }

  it.each([4, 6] as const)('that of the destination: its filter, table and rule (IPv%i)', async (family) => {
    const alert = await probe('client', 'web', REFUSED, family);
    expect(alert).toMatchObject({ signatureId: SID, refused: true, refusedBy: await filterOf('web'), ruleset: 'of-web', ruleId: 9 });
    // A switch tracks what the sender's rules let pass to the host.
    if (datapath === 'nftables') expect(alert.flowId).toBeUndefined();
  });

  it.each([4, 6] as const)('that of the sender (IPv%i)', async (family) => {
    expect(await probe('web', 'client', REFUSED, family)).toMatchObject({ refused: true, refusedBy: await filterOf('web'), ruleset: 'of-web', ruleId: 9 });
  });

  it.each([4, 6] as const)('what they let pass has its connection, and no such mark (IPv%i)', async (family) => {
    const alert = await probe('client', 'web', ACCEPTED, family);
    expect(alert).not.toHaveProperty('refused');
    expect(alert).not.toHaveProperty('refusedBy');
    expect([1, 20]).toContain(alert.ruleId);
    expect(alert.flowId).toBeDefined();
  });

  it('agentctl, the audit log and the journal say it', async () => {
    const { id, source } = await probe('client', 'web', REFUSED, 4);
    const filter = await filterOf('web');
    expect((await agent.agentctl('getalerts')).stdout).toContain(`refused 9 at ${filter}`);
    await eventually('its line', async () => ((await agent.audit()).some((line) => line.includes(`/${source.port}->`) && line.includes(' refused/of-web/9 ')) ? true : undefined), 5_000);
    const engine = (await agent.ask<{ trafficControls: TrafficControlView[] }>('gettrafficcontrol')).trafficControls[0];
    expect(engine?.engineDropped).toBe(0);
    await agent.stop();
    await agent.start();
    expect((await alerts()).find((alert) => alert.id === id)).toMatchObject({ refused: true, refusedBy: filter, ruleset: 'of-web', ruleId: 9 });
  });
});
