/** The audit log on both datapaths: the same packets, the same lines. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canonicalHost } from '../../src/model/address.js';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { ruleTable, workloadManifests } from '../support/manifests.js';
import { createWorld, type World } from '../support/netns.js';
import { observation, startProbe, type Probe, type ProbePacket } from '../support/probe/probe.js';

const rule = (id: number, direction: string, protocol: string, port: string, action: string, log = true, tag?: string) => ({
  id, direction, protocol, ports: [port], action, log, ...(tag === undefined ? {} : { tag }),
});
const TABLE = ruleTable('table', {
  rules: [
    rule(11, 'inout', 'tcp', '7001', 'accept', true, 'both'),
    rule(12, 'out', 'udp', '7002', 'drop'),
    rule(13, 'in', 'tcp', '7003', 'reject'),
    rule(14, 'in', 'udp', '7004', 'drop'),
    rule(15, 'out', 'udp', '7005', 'drop', false),
    { id: 19, direction: 'inout', protocol: 'any', action: 'accept' },
  ],
  layer2Rules: [
    { id: 21, direction: 'in', ethertype: 'ipv6', action: 'drop', log: true },
    { id: 22, direction: 'out', ethertype: 'ipv6', action: 'accept', log: true },
  ],
});
const UDP = 17;
const TCP = 6;

describe.each<WorldDatapath>(['nftables', 'ovs'])('on %s', (datapath) => {
  let world: World;
  let probe: Probe;
  let agent: Agent;
  /** Lines that were there when the test began. */
  let earlier = 0;

  beforeAll(async () => {
    world = await createWorld({ workloads: 2, datapath });
    probe = await startProbe(world);
    agent = await Agent.run(world, { manifests: { 'workloads.yaml': workloadManifests(world), 'table.yaml': [TABLE] } });
  });
  afterAll(() => world.close());
  beforeEach(async ({ onTestFailed }) => {
    earlier = (await agent.audit()).length;
    onTestFailed(async () => console.log((await agent.audit()).join('\n'), await agent.tail()));
  });

  /** From the first workload to the second. */
  const packet = (protocol: number, destinationPort: number, family: 4 | 6 = 4): ProbePacket => {
    const [from, to] = [world.workload(0), world.workload(1)];
    const [source, destination] = family === 4 ? [from.ipv4, to.ipv4] : [from.ipv6, to.ipv6];
    return { from: from.name, family, protocol, source, destination, sourcePort: 50_000 + destinationPort - 7_000, destinationPort };
  };
  /** The lines of a packet, once there are so many, without their time and in order. */
  const lines = async (port: number, count: number): Promise<string[]> => {
    const mine = async (): Promise<string[]> => (await agent.audit()).slice(earlier).filter((line) => line.includes(`/${port}`)).map((line) => line.replace(/^\S+Z /, '')).toSorted();
    return await eventually(`${count} lines`, async () => {
      const found = await mine();
      return found.length >= count ? found : undefined;
    }).catch(mine);
  };
  const hashes = async (): Promise<[string, string]> => {
    const { filters } = await agent.ask<{ filters: { hash: number; workload: { name: string } }[] }>('getfilters');
    const of = (name: string): string => (filters.find(({ workload }) => workload.name === name)?.hash ?? 0).toString(16).padStart(8, '0');
    return [of(world.workload(0).name), of(world.workload(1).name)];
  };

  it('names the filter, the rule, the verdict, the direction and the packet', async () => {
    const [w0, w1] = await hashes();
    const seen = await probe.send([packet(TCP, 7001), packet(UDP, 7002), packet(TCP, 7003), packet(UDP, 7004), packet(UDP, 7005)], 200);
    expect(seen.map(observation)).toEqual(['delivered', 'silent', 'refused', 'silent', 'silent']);
    const [a, b] = [world.workload(0).ipv4, world.workload(1).ipv4];
    expect(await lines(7001, 2)).toEqual([
      `${w0} INET match PASS table/11 OUT 40 TCP ${a}/50001->${b}/7001 S both`,
      `${w1} INET match PASS table/11 IN 40 TCP ${a}/50001->${b}/7001 S both`,
    ].toSorted());
    expect(await lines(7002, 1)).toEqual([`${w0} INET match DROP table/12 OUT 36 UDP ${a}/50002->${b}/7002`]);
    expect(await lines(7003, 1)).toEqual([`${w1} INET match REJECT table/13 IN 40 TCP ${a}/50003->${b}/7003 S`]);
    expect(await lines(7004, 1)).toEqual([`${w1} INET match DROP table/14 IN 36 UDP ${a}/50004->${b}/7004`]);
    expect(await lines(7005, 0)).toEqual([]);
  });

  it('names layer 2 rules under their section', async () => {
    const [w0, w1] = await hashes();
    const [a, b] = [canonicalHost(world.workload(0).ipv6), canonicalHost(world.workload(1).ipv6)];
    expect((await probe.send([packet(UDP, 7006, 6)], 200)).map(observation)).toEqual(['silent']);
    expect(await lines(7006, 2)).toEqual([
      `${w0} INET6 match PASS table_L2/22 OUT 56 UDP ${a}/50006->${b}/7006`,
      `${w1} INET6 match DROP table_L2/21 IN 56 UDP ${a}/50006->${b}/7006`,
    ].toSorted());
  });
});
