/** One address more in a large set, object to switch, in turn with OVN doing the same. Prints milliseconds. */
import { join } from 'node:path';
import type { OvsAddressRequest } from '../benches/ovs-request.js';
import { BenchSwitch } from '../lib/bench-switch.js';
import { milliseconds } from '../lib/datapath.js';
import { Ovn, ovnInstalled } from '../lib/ovn.js';
import { OvsDatapath } from '../lib/ovs-datapath.js';
import { prepareNamespaces } from '../lib/routers.js';
import { addressSet } from '../model/desired.js';
import { members, oneSetPolicy, ovnAcls, ovnSets, portNames } from '../model/groups-policy.js';
import { addressText } from '../model/policy.js';

const request: OvsAddressRequest = JSON.parse(process.argv[2] ?? '{}');
const names = portNames(request.ports);
const NEW = 0x0b00_0000; // 11.0.0.0
await prepareNamespaces();
let addresses = members(0, request.members);

const mine = await BenchSwitch.start('mine', join(request.directory, 'a'));
await mine.addInternalPorts(names);
const datapath = new OvsDatapath(mine.directory);
await datapath.start();
await datapath.apply(oneSetPolicy(request.rules, addresses, request.ports));

let ovn: Ovn | undefined;
if (await ovnInstalled()) {
  const theirs = await BenchSwitch.start('theirs', join(request.directory, 'b'));
  await theirs.addInternalPorts(names);
  ovn = await Ovn.start(theirs, join(request.directory, 'n'));
  await ovn.addPorts(names);
  await ovn.nbctl('--wait=hv', ...ovnSets([['big', addresses]]).slice(1), ...ovnAcls(Array.from({ length: request.rules }, () => 'big')));
  await ovn.nbctlDaemon('--wait=hv', 'sync');
}

const times = { ours: [] as number[], settled: [] as number[], fresh: [] as number[], daemon: [] as number[] };
for (let round = 0; round < request.rounds; round += 1) {
  addresses = [...addresses, addressText(NEW + 3 * round)];
  const changed = addressSet('big', addresses);
  const started = process.hrtime.bigint();
  await datapath.apply([changed]);
  times.ours.push(milliseconds(started));
  await datapath.driver.settled();
  times.settled.push(milliseconds(started));
  if (ovn === undefined) continue;
  times.fresh.push(await ovn.nbctl('--wait=hv', 'add', 'Address_Set', 'big', 'addresses', addressText(NEW + 3 * round)));
  times.daemon.push(await ovn.nbctlDaemon('--wait=hv', 'add', 'Address_Set', 'big', 'addresses', addressText(NEW + 3 * round + 1)));
}
datapath.stop();
console.log(JSON.stringify({ ours: times.ours, settled: times.settled, ...(ovn === undefined ? {} : { fresh: times.fresh, daemon: times.daemon }) }));
process.exit(0);
