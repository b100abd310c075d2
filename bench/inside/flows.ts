/** A running agent, a conntrack table full of connections that carry its rules' labels, and both commands that list them. */
import { copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rule } from '../../src/model/rule.js';
import { AgentProcess, pause, timedTo } from '../lib/agent-process.js';
import { mustRun } from '../lib/command.js';
import { Datapath, ROOT } from '../lib/datapath.js';
import { ruleTables, workload } from '../model/desired.js';
import { manifest } from '../model/manifests.js';
import { ANY } from '../model/policy.js';

interface FlowsRequest {
  readonly connections: number;
  /** Of the one filter that is asked for. */
  readonly ofFilter: number;
  readonly rounds: number;
  readonly directory: string;
}

const request: FlowsRequest = JSON.parse(process.argv[2] ?? '{}');
const file = (name: string): string => join(request.directory, name);
const hosts = Math.ceil(request.connections / request.ofFilter);
const rules = Array.from({ length: 20 }, (_, index): Rule => ({
  id: 1001 + index, direction: 'in', protocol: 6, source: ANY, sourcePorts: [], destination: ANY, ports: [{ first: 424 + index, last: 424 + index }],
  action: 'accept', log: false, stateless: false,
}));
// The filler's host number 5.
const objects = [...workload('vm', 'vnic0', ['10.200.0.7']), ...ruleTables(rules, 'policy')];

const agent = new AgentProcess(file('agent'));
await agent.start(objects.map(manifest), 60_000);
await pause(1000);
const empty = await agent.memory();

const datapath = new Datapath();
const labels = [...await datapath.driver.readLabels()].filter(([, key]) => key.startsWith('policy-0/') && key.endsWith(' in')).map(([id]) => id);
datapath.close();
if (labels.length !== rules.length) throw new Error(`${labels.length} label ids for ${rules.length} rules`);
await mustRun('python3', [join(ROOT, 'bench/children/ct-fill.py'), String(request.connections), '--hosts', String(hosts), '--in', labels.join(',')]);
const deadline = Date.now() + 120_000;
while (await connections() < request.connections) {
  if (Date.now() > deadline) throw new Error(`the agent knows ${await connections()} of ${request.connections} connections`);
  await pause(500);
}
await pause(2000);
const full = await agent.memory();

const times = { all: [] as number[], list: [] as number[], one: [] as number[], allJson: [] as number[] };
await agent.resetPeak();
for (let round = 0; round < request.rounds; round += 1) {
  times.all.push(await agent.agentctlTo(file('all'), 'getflows', '--all'));
  times.list.push(await timedTo(file('list'), 'conntrack', ['-L']));
  times.one.push(await agent.agentctlTo(file('one'), 'getflows', '-f', 'vm'));
}
const peak = await agent.memory();
for (let round = 0; round < Math.min(request.rounds, 2); round += 1) times.allJson.push(await agent.agentctlTo(file('json'), 'getflows', '--all', '-o', 'json'));

const lines = async (name: string, pattern: RegExp): Promise<number> => (await readFile(file(name), 'latin1')).match(pattern)?.length ?? 0;
const counts = { all: await lines('all', /10\.200\./g), list: await lines('list', /^tcp/gm), one: await lines('one', /10\.200\.0\.7\b/g) };
if (counts.all < request.connections || counts.one < request.ofFilter) throw new Error(`lines: ${JSON.stringify(counts)}`);
const bytes = { all: (await stat(file('all'))).size, list: (await stat(file('list'))).size };
await agent.stop();
await copyFile(file('agent/agent.log'), file('flows-agent.log'));
console.log(JSON.stringify({ times, memory: { empty, full, peak }, counts, bytes }));

async function connections(): Promise<number> {
  const { stdout } = await agent.agentctl('getconncount', '-o', 'json');
  return Math.max(0, ...[...stdout.matchAll(/\d+/g)].map(Number));
}
