/** Copies of pings, counted at the device that gets them, and by who takes them out of a tunnel. Behaviours 74 and 75 of Antrea's own tests. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WorldDatapath } from '../support/datapaths.js';
import { mirror, MirroredPings, PINGS } from '../support/mirrored-pings.js';

describe.each<WorldDatapath>(['nftables', 'ovs'])('copies of pings on %s', (datapath) => {
  let t: MirroredPings;
  beforeAll(async () => {
    t = await MirroredPings.start(datapath);
  });
  afterAll(() => t.world.close());
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
});
