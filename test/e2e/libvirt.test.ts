/** Virtual machines that libvirt runs get filters by its status files, and rules by their tags. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Agent } from '../support/agent.js';
import { eventually } from '../support/command.js';
import { ruleTable } from '../support/manifests.js';
import { createWorld, type World, type WorldWorkload } from '../support/netns.js';
import { startTraffic, type Traffic } from '../support/probe/traffic.js';

let world: World;
let agent: Agent;
let traffic: Traffic;
let directory: string;

const domain = ({ name, mac, ipv4, interface: device }: WorldWorkload, tag: string): string => `<domstatus state='running' reason='booted' pid='1'>
  <domain type='kvm' id='1'><name>${name}</name><uuid>7c4e5f2a-9d3b-4b1e-8f6a-${mac.replaceAll(':', '')}</uuid>
    <metadata><dfw:tags xmlns:dfw="https://dfw.dev/xmlns/libvirt/1"><dfw:tag key="app" value="${tag}"/></dfw:tags></metadata>
    <devices><interface type='ethernet'><mac address='${mac}'/><ip address='${ipv4}'/><target dev='${device}'/><alias name='net0'/></interface></devices>
  </domain></domstatus>`;
async function put(file: string, text: string): Promise<void> {
  await writeFile(join(directory, `${file}.new`), text);
  await rename(join(directory, `${file}.new`), join(directory, file));
}
const bound = async (): Promise<string[]> => {
  const { filters } = await agent.ask<{ filters: { interface: string; workload: { kind: string; name: string }; mac: string; addresses: string[] }[] }>('getfilters');
  return filters.map((one) => `${one.workload.kind}/${one.workload.name} ${one.interface} ${one.mac} ${one.addresses.join()}`).sort();
};
const line = (index: number): string => {
  const { name, interface: device, mac, ipv4 } = world.workload(index);
  return `VirtualMachine/${name} ${device} ${mac} ${ipv4}`;
};
const tries = (port: number): Promise<string> => traffic.tries({ netns: world.workload(0).netns, destination: world.workload(1).ipv4, port });

beforeAll(async () => {
  world = await createWorld({ workloads: 2 });
  traffic = await startTraffic(world);
  for (const port of [80, 81]) await traffic.listen(world.workload(1).netns, port);
  agent = await Agent.prepare(world, {
    manifests: {
      'tables.yaml': [
        ruleTable('shop', { appliedTo: { selector: { matchLabels: { app: 'shop' } } }, rules: [{ id: 1, direction: 'in', protocol: 'tcp', ports: ['81'], action: 'drop' }] }),
        ruleTable('zz-rest', { rules: [{ id: 9, direction: 'inout', protocol: 'any', action: 'accept' }] }),
      ],
    },
  });
  directory = join(agent.directory, 'qemu');
  await mkdir(directory);
  await agent.configure('discovery', { libvirt: directory });
  await put('vm-0.xml', domain(world.workload(0), 'other'));
  await agent.start();
});
afterAll(() => world.close());
beforeEach(({ onTestFailed }) => onTestFailed(async () => console.log(await agent.tail())));

it('binds filters when machines start, follows their tags, and ends with them', async () => {
  expect(await bound()).toEqual([line(0)]);
  await put('vm-1.xml', domain(world.workload(1), 'other'));
  await eventually('the second machine', async () => ((await bound()).join() === [line(0), line(1)].join() ? true : undefined));
  await eventually('its rules', async () => ((await tries(81)) === 'open' ? true : undefined));
  await put('vm-1.xml', domain(world.workload(1), 'shop'));
  await eventually('the rules of its tag', async () => ((await tries(81)) === 'timeout' ? true : undefined), 20_000);
  expect(await tries(80)).toBe('open');
  // What is broken leaves what was.
  await put('vm-1.xml', '<domain');
  await agent.agentctl('sync');
  const { sources } = await agent.ask<{ sources: { type: string; errors: { object: string; path: string }[] }[] }>('status');
  expect(sources.find(({ type }) => type === 'libvirt')?.errors).toMatchObject([{ object: 'vm-1.xml', path: expect.stringMatching(/^line 1/) as string }]);
  expect(await tries(81)).toBe('timeout');
  await rm(join(directory, 'vm-1.xml'));
  await eventually('one machine', async () => ((await bound()).length === 1 ? true : undefined));
});
