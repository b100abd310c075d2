/** First sync of a large cluster from the API, by the agent and by the client library's informers in turn; memory at its peak and when all is quiet. */
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { AGENT_LISTS, readPages } from '../lib/api-pages.js';
import { mustRun } from '../lib/command.js';
import { podName, type ApiClusterOptions } from '../model/api-cluster.js';

interface Request extends ApiClusterOptions { readonly directory: string; readonly rounds: number; /** V8 gives back what it needed once only when it had nothing to do for some seconds. */ readonly quietMs: number }

const request: Request = JSON.parse(process.argv[2] ?? '{}');
const { directory } = request;
await mkdir(directory, { recursive: true });
await mustRun('ip', ['link', 'set', 'lo', 'up']);
const kubeconfig = join(directory, 'kubeconfig');
const beside = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const server = spawn(process.execPath, ['--max-old-space-size=6144', beside('kubernetes-server'), JSON.stringify({ ...request, kubeconfig })], { stdio: ['pipe', 'pipe', 'inherit'] });
await new Promise<void>((resolve, reject) => {
  server.stdout.once('data', () => resolve());
  server.once('exit', (code) => reject(new Error(`the API server ended with ${code}`)));
});
async function informers(): Promise<unknown> {
  const child = spawn(process.execPath, [beside('kubernetes-informer'), kubeconfig, String(request.quietMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    child.once('exit', (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`the informers ended with ${code}`))));
  });
}

async function agentRound(round: number): Promise<object> {
  const place = join(directory, `agent-${round}`);
  const agent = new AgentProcess(place, { sources: [{ type: 'kubernetes', kubeconfig }, { type: 'file', path: join(place, 'manifests') }] });
  const attachments = Array.from({ length: request.localPods }, (_, index) => ({
    apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `local-${index}` }, spec: { workload: { kind: 'Pod', namespace: 'ns-0', name: podName(index) }, interface: `veth${index}` },
  }));
  const started = performance.now();
  await agent.start(attachments, 300_000);
  const readyMs = performance.now() - started;
  const cpuMs = await agent.cpuMs();
  await pause(request.quietMs);
  const { residentMb, peakMb } = await agent.memory();
  const status = JSON.parse((await agent.agentctl('status', '-o', 'json')).stdout) as { filters: number; policies: number; addresses: number };
  const loaded = (await agent.log()).split('\n').filter((line) => line.includes('source.loaded') && line.includes('"kubernetes"')).map((line) => JSON.parse(line) as { ms: number; objects: number });
  await agent.stop();
  return { readyMs, cpuMs, loadedMs: loaded[0]?.ms, objects: loaded[0]?.objects, peakMb, residentMb, status };
}

const answers = { agents: new Array<unknown>(), informers: new Array<unknown>(), pagesMs: new Array<number>() };
for (let round = 0; round < request.rounds; round += 1) {
  answers.pagesMs.push(await readPages(kubeconfig, AGENT_LISTS));
  answers.agents.push(await agentRound(round));
  answers.informers.push(await informers());
}
console.log(JSON.stringify(answers));
server.stdin.end();
