/** All flows replaced: driver.apply to and fro between two targets, and `ovs-ofctl replace-flows` of the very flows on a switch of its own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OvsRequest } from '../benches/ovs-request.js';
import { BenchSwitch } from '../lib/bench-switch.js';
import { milliseconds } from '../lib/datapath.js';
import { OvsDatapath } from '../lib/ovs-datapath.js';
import { prepareNamespaces } from '../lib/routers.js';
import type { DesiredObject } from '../../src/model/objects.js';
import type { OvsTarget } from '../../src/drivers/ovs/target.js';
import { addressSet } from '../model/desired.js';
import { groupsPolicy, members, portNames, setOf } from '../model/groups-policy.js';

const request: OvsRequest = JSON.parse(process.argv[2] ?? '{}');
const { policy } = request;
const names = portNames(policy.ports);
await prepareNamespaces();
const mine = await BenchSwitch.start('mine', join(request.directory, 'a'));
const theirs = await BenchSwitch.start('theirs', join(request.directory, 'b'));
for (const one of [mine, theirs]) await one.addInternalPorts(names);

const datapath = new OvsDatapath(mine.directory);
await datapath.start();
// Each target by a compiler of its own: one compiler's later tables take over the maps of the earlier ones.
const compiled = (objects: readonly DesiredObject[]): OvsTarget => new OvsDatapath(mine.directory).target(objects);
const first = compiled(groupsPolicy(policy));
// The same addresses, all in the next set: other actions of the same matches.
const others = compiled([
  ...groupsPolicy(policy), ...Array.from({ length: policy.rules }, (_, index) => addressSet(setOf(index), members((index + 1) % policy.rules, policy.addressesEach))),
]);
// Other addresses: other matches.
const moved = compiled(groupsPolicy(policy, policy.rules * policy.addressesEach));

const file = (name: string): string => join(request.directory, name);
const flows = new Map<OvsTarget, string>();
let count = 0;
for (const [name, target] of [['first', first], ['others', others], ['moved', moved]] as const) {
  await datapath.driver.apply(target);
  const lines = await mine.flows();
  count = Math.max(count, lines.length);
  flows.set(target, file(name));
  // The peer's switch has no meters of ours.
  await writeFile(file(name), `${lines.filter((line) => !line.includes('meter')).join('\n')}\n`);
}

async function ours(target: OvsTarget): Promise<number> {
  const started = process.hrtime.bigint();
  await datapath.driver.apply(target);
  return milliseconds(started);
}

async function peer(target: OvsTarget): Promise<number> {
  return (await theirs.ofctl('replace-flows', flows.get(target) ?? '')).ms;
}

async function alternate(target: OvsTarget): Promise<{ ours: number[]; peer: number[] }> {
  const times = { ours: [] as number[], peer: [] as number[] };
  await ours(first);
  await peer(first);
  for (let round = 0; round < request.rounds; round += 1) {
    const to = round % 2 === 0 ? target : first;
    times.ours.push(await ours(to));
    times.peer.push(await peer(to));
  }
  return times;
}

const cases = { actions: await alternate(others), matches: await alternate(moved) };
datapath.stop();
console.log(JSON.stringify({ flows: count, cases }));
process.exit(0);
