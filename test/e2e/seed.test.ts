/** The seed's rule table on real packets, and the screens that it shows. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { flushConntrack } from '../support/kernel.js';
import { attachment, virtualMachine } from '../support/manifests.js';
import { createWorld, HOST_IPV4, linkLocal, type World } from '../support/netns.js';
import { observation, startProbe, type Probe, type ProbePacket } from '../support/probe/probe.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

const RULESETS = `ruleset domain-c25 {
  # Filter rules
  rule 1006 at 1 inout protocol tcp from addrset ip-vm-33 to addrset ip-vm-36 port 22 accept with log;
  rule 1005 at 2 inout protocol any from any to addrset ip-ipset-2 accept;
  rule 1004 at 3 inout protocol ipv6-icmp icmptype 135 from any to any accept;
  rule 1004 at 4 inout protocol ipv6-icmp icmptype 136 from any to any accept;
  rule 1003 at 5 inout protocol udp from any to any port 67 accept;
  rule 1003 at 6 inout protocol udp from any to any port 68 accept;
  rule 1002 at 7 inout protocol any from any to any reject with log;
}
ruleset domain-c25_L2 {
  # Filter rules
  rule 1001 at 1 inout ethertype any from any to any accept;
}
`;
const ADDRSETS = `addrset ip-ipset-2 {
ip 192.168.110.10,
}
addrset ip-vm-33 {
ip 172.16.10.12,
}
addrset ip-vm-36 {
ip 172.16.10.11,
}
`;
const WEB = '172.16.10.12';
const DB = '172.16.10.11';

let world: World;
let probe: Probe;
let traffic: Traffic;
let agent: Agent;

beforeAll(async () => {
  world = await createWorld({
    workloads: [
      { name: 'web-sv-01a', ipv4: WEB, interface: 'vm-web' },
      { name: 'db-sv-01a', ipv4: DB, interface: 'vm-db' },
      { name: 'mgmt', ipv4: '192.168.110.10', interface: 'vm-mgmt' }, // no filter
    ],
    staticNeighbours: false,
  });
  probe = await startProbe(world);
  traffic = await startTraffic(world);
  const filtered = world.workloads.slice(0, 2).flatMap((workload) => [virtualMachine(workload), attachment(workload)]);
  agent = await Agent.run(world, { manifests: { 'workloads.yaml': filtered, 'domain-c25.rules': RULESETS + ADDRSETS } });
  await traffic.listen(world.workload('db-sv-01a').netns, 22);
  await traffic.listen(world.workload('db-sv-01a').netns, 80);
});
afterAll(() => world.close());
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await agent.tail()));
  await flushConntrack(world);
});

const web = (): string => world.workload('web-sv-01a').netns;
const packet = (protocol: number, more: Partial<ProbePacket> = {}): ProbePacket => ({
  from: 'web-sv-01a', family: 4, protocol, source: WEB, destination: DB, ...(protocol === 6 || protocol === 17 ? { sourcePort: 50_000, destinationPort: 80 } : {}), ...more,
});
const sees = async (...packets: readonly ProbePacket[]): Promise<string[]> => (await probe.send(packets, 60)).map(observation);

describe('screens', () => {
  /** Without comments that tell generation and time. */
  const bare = (text: string): string => text.split('\n').filter((line) => !/^\s*# (generation|realization)/.test(line) && line.trim() !== '').join('\n');

  it('getrules prints the table in the form of vsipioctl', async () => {
    const result = await agent.agentctl('getrules', '-f', 'db-sv-01a');
    expect(result.stderr).toBe('');
    expect(bare(result.stdout)).toBe(bare(RULESETS));
  });

  it('getaddrsets prints the sets', async () => {
    expect(bare((await agent.agentctl('getaddrsets', '-f', 'db-sv-01a')).stdout)).toBe(bare(ADDRSETS));
  });

  it('what it prints loads again to the same', async () => {
    const printed = (await agent.agentctl('getrules', '-f', 'vm-web')).stdout;
    const sets = (await agent.agentctl('getaddrsets', '-f', 'vm-web')).stdout;
    await agent.write('domain-c25.rules', printed + sets);
    await agent.sync();
    expect((await agent.agentctl('getrules', '-f', 'vm-web')).stdout).toBe(printed);
    expect((await agent.agentctl('getaddrsets', '-f', 'vm-web')).stdout).toBe(sets);
  });

  it('getfilters and summarize-dvfilter list both vNICs, fail-closed', async () => {
    const { filters } = await agent.ask<{ filters: Record<string, unknown>[] }>('getfilters');
    expect(filters.map((one) => String(one['interface'])).toSorted((a, b) => a.localeCompare(b))).toEqual(['vm-db', 'vm-web']);
    expect(filters.every((one) => one['state'] === 'attached' && one['failurePolicy'] === 'failClosed' && one['realized'] === true)).toBe(true);
    const nested = (await agent.agentctl('summarize-dvfilter')).stdout;
    for (const one of filters) expect(nested).toContain(`name: ${String(one['name'])}`);
    expect(nested).toMatch(/failurePolicy: failClosed/);
    expect(String(filters[0]?.['name'])).toMatch(/^nic-\d+-eth0-dfw\.2$/);
  });

  it('getflows shows an ssh connection under rule 1006, at both filters', async () => {
    const connection = await traffic.connect({ netns: web(), destination: DB, port: 22, interval: 20 });
    expect(connection.state).toBe('open');
    await eventually('some echoes', async () => ((await connection.stats()).echoed > 3 ? true : undefined));
    // The switch's own tracker counts nothing.
    const counters = world.ovs === undefined ? String.raw`[1-9]\d* [1-9]\d* [1-9]\d* [1-9]\d*` : '0 0 0 0';
    const line = (direction: number): RegExp =>
      new RegExp(String.raw`^[0-9a-f]{16} Active tcp 0800 ${direction} 1006 0 0  172\.16\.10\.12:Unknown\(${connection.localPort}\) 172\.16\.10\.11:ssh\(22\) \d+ EST ${counters}$`, 'm');
    const screen = await eventually('the flow', async () => {
      const text = (await agent.agentctl('getflows', '-f', 'db-sv-01a')).stdout;
      return text.includes('1006') ? text : undefined;
    });
    expect(screen).toMatch(/^Count retrieved from kernel active\(L3,L4\)=1, active\(L2\)\+inactive\(L3,L4\)=0, drop\(L2,L3,L4\)=0\n/);
    expect(screen).toMatch(line(1));
    expect((await agent.agentctl('getflows', '-f', 'web-sv-01a')).stdout).toMatch(line(2));
    const json = await agent.ask<{ flows: Record<string, unknown>[] }>('getflows', '-f', 'db-sv-01a');
    expect(json.flows).toHaveLength(1);
    expect(json.flows[0]).toMatchObject({ ruleId: 1006, protocol: 'tcp', direction: 'in', source: { address: WEB }, destination: { address: DB, port: 22 } });
    expect(await agent.ask('getconncount', '-f', 'db-sv-01a')).toMatchObject({ connections: 1 });
    await connection.close();
  });
});

describe('packets', () => {
  it('lets ssh from web to db pass, and nothing else: TCP reset, ICMP for the rest', async () => {
    expect(await traffic.tries({ netns: web(), destination: DB, port: 22 })).toBe('open');
    expect(await traffic.tries({ netns: web(), destination: DB, port: 80 })).toBe('refused');
    expect(await traffic.tries({ netns: world.workload('db-sv-01a').netns, destination: WEB, port: 22 })).toBe('refused');
    expect(await sees(packet(6), packet(17), packet(1, { icmpType: 8 }), packet(47))).toEqual(['refused', 'refused', 'refused', 'refused']);
    const [reset, unreachable] = await probe.send([packet(6, { sourcePort: 51_000 }), packet(17, { sourcePort: 51_000 })], 60);
    expect(reset?.replies[0]).toEqual({ kind: 'rst', at: 'web-sv-01a' });
    expect(unreachable?.replies[0]?.kind).toMatch(/^icmp-3-/);
  });

  it('judges both directions of both filters: db may not answer as a client', async () => {
    expect(await sees(packet(6, { from: 'db-sv-01a', source: DB, destination: WEB, destinationPort: 22 }))).toEqual(['refused']);
  });

  it('lets DHCP pass', async () => {
    expect(await sees(packet(17, { sourcePort: 68, destinationPort: 67, destination: HOST_IPV4 }), packet(17, { sourcePort: 67, destinationPort: 68 }))).toEqual(['delivered', 'delivered']);
  });

  it('lets neighbour discovery pass, and with it IPv6 at all', async () => {
    const [from, to] = [world.workload('web-sv-01a'), world.workload('db-sv-01a')];
    const solicit: ProbePacket = { from: from.name, family: 6, protocol: 58, source: from.ipv6, destination: to.ipv6, icmpType: 135 };
    expect(await sees(solicit)).toEqual(['delivered']);
    // Real discovery of the gateway over the workload's link, both ways, then a refusal that comes back over IPv6.
    await world.exec(from.netns, 'ip', ['neigh', 'flush', 'all']);
    await world.exec(world.host, 'ip', ['neigh', 'flush', 'all']);
    expect(await traffic.tries({ netns: from.netns, destination: to.ipv6, port: 22, timeoutMs: 3_000 })).toBe('refused');
    expect(linkLocal(from.mac)).toMatch(/^fe80::/);
  });

  it('lets everything to the management host pass', async () => {
    expect(await sees(packet(6, { destination: '192.168.110.10' }), packet(17, { destination: '192.168.110.10' }), packet(253, { destination: '192.168.110.10' }))).toEqual(['delivered', 'delivered', 'delivered']);
  });
});

describe('audit log', () => {
  it('has a line for what is accepted and for what is rejected with log, in the fields of NSX', async () => {
    const connection = await traffic.connect({ netns: web(), destination: DB, port: 22 });
    await traffic.tries({ netns: web(), destination: DB, port: 80 });
    const stamp = String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9a-f]{8} INET match`;
    const accepted = new RegExp(`${stamp} PASS domain-c25/1006 (IN|OUT) \\d+ TCP 172\\.16\\.10\\.12/${connection.localPort}->172\\.16\\.10\\.11/22 S`);
    const rejected = new RegExp(`${stamp} REJECT domain-c25/1002 OUT \\d+ TCP 172\\.16\\.10\\.12/\\d+->172\\.16\\.10\\.11/80 S`);
    await eventually('both lines', async () => {
      const lines = await agent.audit();
      return lines.some((line) => accepted.test(line)) && lines.some((line) => rejected.test(line)) ? true : undefined;
    });
    await connection.close();
    const end = await eventually('the end of the connection', async () => (await agent.audit()).find((line) => / TERM PASS domain-c25\/1006 /.test(line)), 15_000);
    expect(end).toContain('172.16.10.11/22');
  });
});

describe('counters and trace', () => {
  it('getrules -s counts hits by rule', async () => {
    const evals = async (): Promise<number> => {
      // The switch adds up what its datapath counted in rounds; one may have begun before.
      for (let round = 0; round < 2; round += 1) await world.ovs?.appctl('revalidator/wait');
      const text = (await agent.agentctl('getrules', '-f', 'web-sv-01a', '-s')).stdout;
      return Number(/^rule {2}1002: (\d+) evals/m.exec(text)?.[1]);
    };
    const before = await evals();
    await sees(packet(17, { sourcePort: 52_001 }), packet(17, { sourcePort: 52_002 }), packet(17, { sourcePort: 52_003 }));
    expect(await evals()).toBe(before + 3);
  });

  it('trace says which rule decides', async () => {
    const allowed = await agent.ask<{ verdict: string; steps: { ruleId: number }[] }>('trace', '--from', 'web-sv-01a', '--to', 'db-sv-01a', '--proto', 'tcp', '--dport', '22');
    expect([allowed.verdict, ...allowed.steps.map((step) => step.ruleId)]).toEqual(['allow', 1006, 1006]);
    const refused = await agent.ask<{ verdict: string; steps: { ruleId: number }[] }>('trace', '--from', WEB, '--to', DB, '--proto', 'udp', '--dport', '22');
    expect([refused.verdict, refused.steps[0]?.ruleId]).toEqual(['reject', 1002]);
  });
});
