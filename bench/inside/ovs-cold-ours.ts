/** From decoded objects to committed flows of a bridge without any, in a process that has compiled nothing before. Prints milliseconds. */
import { milliseconds } from '../lib/datapath.js';
import { OvsDatapath } from '../lib/ovs-datapath.js';
import { groupsPolicy, type GroupsPolicy } from '../model/groups-policy.js';

const { policy, directory }: { policy: GroupsPolicy; directory: string } = JSON.parse(process.argv[2] ?? '{}');
const objects = groupsPolicy(policy);
const datapath = new OvsDatapath(directory);
await datapath.start();
const started = process.hrtime.bigint();
const target = datapath.target(objects);
const compile = milliseconds(started);
await datapath.driver.apply(target);
const total = milliseconds(started);
datapath.stop();
console.log(JSON.stringify({ total, compile }));
