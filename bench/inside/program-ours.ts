/** From decoded objects to a committed table, in a process that has compiled nothing before. Prints the milliseconds of each step. */
import { Datapath, milliseconds } from '../lib/datapath.js';
import { desiredObjects, policyObjects, workload } from '../model/desired.js';
import { addressText, FIRST_HOST, makePolicy } from '../model/policy.js';
import { programRequest } from '../benches/program-request.js';

const { policy: options, interfaceName } = programRequest(process.argv[2]);
const policy = makePolicy(options);
// The workload is a host of the policy: it is in three of its groups.
const objects = desiredObjects(policyObjects(policy, workload('vm', interfaceName, [addressText(FIRST_HOST)])));
const datapath = new Datapath();

const started = process.hrtime.bigint();
const target = datapath.target(datapath.world(objects));
const compiled = milliseconds(started);
const applied = await datapath.driver.apply(target);
const total = milliseconds(started);

let regions = 0;
let classes = 0;
for (const table of target.tables.values()) {
  classes += table.classes.members.size;
  for (const segments of table.regions.values()) regions += segments.starts.length;
}
datapath.close();
console.log(JSON.stringify({ total, compile: compiled, apply: total - compiled, elements: applied.elements, bytes: applied.bytes, regions, classes }));
