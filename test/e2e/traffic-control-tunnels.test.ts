/** Copies of pings, counted at the device that gets them, and by who takes them out of a tunnel. Behaviours 74 and 75 of Antrea's own tests. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Cleanup } from '../support/cleanup.js';
import type { WorldDatapath } from '../support/datapaths.js';
import { mirror, MirroredPings, PINGS } from '../support/mirrored-pings.js';

describe.each<WorldDatapath>(['nftables', 'ovs'])('copies of pings on %s', (datapath) => {
  const cleanup = new Cleanup();
  let t: MirroredPings;
  beforeAll(async () => {
    t = await MirroredPings.start(datapath, cleanup);
  });
  afterAll(() => cleanup.run());
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await t.agent.tail())));

  it.each([4, 6] as const)('74. mirrored to a port of the switch, or a device: 200 copies of 100 pings, IPv%i', async (family) => {
    const onSwitch = datapath === 'ovs';
    await t.loadActive(mirror('ping', onSwitch ? { ovsInternal: { name: 'test-port' } } : { device: { name: 'copy0' } }));
    const name = onSwitch ? 'test-port' : 'reader0';
    const [pings = 0, frames = 0] = await t.pinged(family, [await t.echoes(t.world.host, name), () => t.counter(t.world.host, name)]);
    expect(pings).toBe(2 * PINGS);
    expect(frames).toBeLessThanOrEqual(2 * PINGS + 10);
  });

  it.each([[4, 4], [6, 4], [4, 6], [6, 6]] as const)('75. mirrored by vxlan: 200 copies of 100 pings of IPv%i come out at a collector with IPv%i', async (family, outer) => {
    const end = await t.vxlanEnd(outer);
    const [view] = await t.loadActive(mirror('vxlan', t.vxlan(outer)));
    expect(view?.device).toMatch(/^dfw[0-9a-f]{8}$/);
    expect(await t.pinged(family, [end.read])).toEqual([2 * PINGS]);
    expect((await t.controls())[0]?.dropped).toBe(0);
  });

  it.each([undefined, [{ protocol: 'udp' }, { protocol: 'icmp' }]])('a copy is not copied again, where the collector is mirrored itself (match: %j)', async (match) => {
    const end = await t.vxlanEnd(4);
    await t.declareCollector();
    await t.loadActive(
      mirror('all', t.vxlan(4), { appliedTo: { podSelector: {} }, ...(match === undefined ? {} : { match }) }),
      mirror('device', { device: { name: 'copy0' } }, { appliedTo: { podSelector: { matchLabels: { pod: 'collector' } } } }),
    );
    // Each ping and each answer passes two mirrored vNICs. The device gets what the collector gets, which is the copies; on a switch they are not copied at all.
    const [copies, bySecond = 0] = await t.pinged(4, [end.read, () => t.counter(t.world.host, 'reader0')]);
    expect(copies).toBe(4 * PINGS);
    expect(bySecond).toBeLessThanOrEqual((datapath === 'ovs' ? 0 : 4 * PINGS) + 20);
  });
});
