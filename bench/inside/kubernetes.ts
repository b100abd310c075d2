/** First sync of a large cluster from the API, by the agent or by the client library's informers; memory at its peak and when all is quiet. */
import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentProcess, pause } from '../lib/agent-process.js';
import { mustRun } from '../lib/command.js';
import { podName, type ApiClusterOptions } from '../model/api-cluster.js';

interface Request extends ApiClusterOptions { readonly directory: string; readonly who: 'agent' | 'informer' }

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

const started = process.hrtime.bigint();
const elapsed = (): number => Number(process.hrtime.bigint() - started) / 1e6;
if (request.who === 'informer') {
  const child = spawn(process.execPath, [beside('kubernetes-informer'), kubeconfig], { stdio: ['ignore', 'pipe', 'inherit'] });
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    child.once('exit', (code) => (code === 0 ? resolve(text) : reject(new Error(`the informers ended with ${code}`))));
  });
  console.log(answer.trim());
} else {
  const agent = new AgentProcess(join(directory, 'agent'), { sources: [{ type: 'kubernetes', kubeconfig }, { type: 'file', path: join(directory, 'agent/manifests') }] });
  const attachments = Array.from({ length: request.localPods }, (_, index) => ({
    apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name: `local-${index}` }, spec: { workload: { kind: 'Pod', namespace: 'ns-0', name: podName(index) }, interface: `veth${index}` },
  }));
  await agent.start(attachments, 300_000);
  const readyMs = elapsed();
  const cpuMs = await agent.cpuMs();
  const peak = (await agent.memory()).peakMb;
  const settled: number[] = [];
  for (const seconds of [5, 20, 20]) {
    await pause(seconds * 1_000);
    settled.push((await agent.memory()).residentMb);
  }
  const { peakMb } = await agent.memory();
  const status = JSON.parse((await agent.agentctl('status', '-o', 'json')).stdout) as { filters: number; policies: number; addresses: number };
  const log = await readFile(join(directory, 'agent/agent.log'), 'utf8');
  const loaded = log.split('\n').filter((line) => line.includes('source.loaded') && line.includes('"kubernetes"')).map((line) => JSON.parse(line) as { ms: number; objects: number });
  await agent.stop();
  console.log(JSON.stringify({ readyMs, cpuMs, loadedMs: loaded[0]?.ms, objects: loaded[0]?.objects, startPeakMb: peak, peakMb, settled, residentMb: settled.at(-1), status }));
}
server.stdin.end();
