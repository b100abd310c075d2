/** Many rules with an address set each, cold: ours in a fresh process each round, OVN from a transaction to its flows. Prints milliseconds. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OvsRequest } from '../benches/ovs-request.js';
import { BenchSwitch } from '../lib/bench-switch.js';
import { mustRun } from '../lib/command.js';
import { Ovn, ovnInstalled } from '../lib/ovn.js';
import { prepareNamespaces } from '../lib/routers.js';
import { members, ovnAcls, ovnSets, portNames, setOf } from '../model/groups-policy.js';

const request: OvsRequest = JSON.parse(process.argv[2] ?? '{}');
const { policy } = request;
const names = portNames(policy.ports);
const OURS = fileURLToPath(new URL('ovs-cold-ours.js', import.meta.url));
await prepareNamespaces();
const mine = await BenchSwitch.start('mine', join(request.directory, 'a'));
await mine.addInternalPorts(names);

let ovn: Ovn | undefined;
let theirs: BenchSwitch | undefined;
if (await ovnInstalled()) {
  theirs = await BenchSwitch.start('theirs', join(request.directory, 'b'));
  await theirs.addInternalPorts(names);
  ovn = await Ovn.start(theirs, join(request.directory, 'n'));
  await ovn.addPorts(names);
}
const sets = Array.from({ length: policy.rules }, (_, index) => setOf(index));
const all = ['--wait=hv', ...ovnSets(sets.map((name, index) => [name, members(index, policy.addressesEach)])).slice(1), ...ovnAcls(sets)];

const ours: { total: number; compile: number }[] = [];
const peer: number[] = [];
let flows = 0;
let ovnFlows = 0;
for (let round = 0; round < request.rounds; round += 1) {
  const { stdout } = await mustRun(process.execPath, [OURS, JSON.stringify({ policy, directory: mine.directory })]);
  ours.push(JSON.parse(stdout));
  flows = await mine.flowCount();
  await mine.ofctl('del-flows');
  await mine.ofctl('del-meters');
  if (ovn === undefined || theirs === undefined) continue;
  peer.push(await ovn.nbctl(...all));
  ovnFlows = await theirs.flowCount();
  await ovn.nbctl('--wait=hv', '--type=port-group', 'acl-del', 'pg', '--', '--all', 'destroy', 'Address_Set');
}
console.log(JSON.stringify({ flows, ours, ...(ovn === undefined ? {} : { ovnFlows, ovn: peer }) }));
process.exit(0);
