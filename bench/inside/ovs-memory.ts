/** The daemon's resident memory with a large policy in force on a bridge. */
import { join } from 'node:path';
import type { OvsRequest } from '../benches/ovs-request.js';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { BenchSwitch, BRIDGE } from '../lib/bench-switch.js';
import { prepareNamespaces } from '../lib/routers.js';
import { groupsPolicy, portNames } from '../model/groups-policy.js';
import { manifest } from '../model/manifests.js';

const request: OvsRequest = JSON.parse(process.argv[2] ?? '{}');
await prepareNamespaces();
const ovs = await BenchSwitch.start('mine', join(request.directory, 'a'));
await ovs.addInternalPorts(portNames(request.policy.ports));
const agent = new AgentProcess(join(request.directory, 'agent'), { datapath: 'ovs', ovs: { bridge: BRIDGE, database: ovs.database } });
const started = process.hrtime.bigint();
await agent.start(groupsPolicy(request.policy).map(manifest), 120_000);
const readyMs = Number(process.hrtime.bigint() - started) / 1e6;
await pause(3000);
const { residentMb, peakMb } = await agent.memory();
const flows = await ovs.flowCount();
await agent.stop();
console.log(JSON.stringify({ flows, residentMb, peakMb, readyMs }));
process.exit(0);
