/** The peer: Kubernetes' client library, which holds Pods and NetworkPolicies in its informers. */
import { readFile } from 'node:fs/promises';
import { CoreV1Api, KubeConfig, makeInformer, NetworkingV1Api } from '@kubernetes/client-node';
import { pause } from '../lib/agent-process.js';

const started = process.hrtime.bigint();
const config = new KubeConfig();
config.loadFromFile(process.argv[2] ?? '');
const core = config.makeApiClient(CoreV1Api);
const networking = config.makeApiClient(NetworkingV1Api);
/** In pages: as one answer the list of so many Pods is longer than a string may be. */
async function paged<Item>(page: (token: string | undefined) => Promise<{ metadata?: { _continue?: string }; items: Item[] }>): Promise<{ metadata?: { _continue?: string }; items: Item[] }> {
  const first = await page(undefined);
  for (let token = first.metadata?._continue ?? ''; token !== '';) {
    const next = await page(token);
    first.items.push(...next.items);
    token = next.metadata?._continue ?? '';
  }
  return first;
}
const pods = makeInformer(config, '/api/v1/pods', async () => paged(async (token) => core.listPodForAllNamespaces({ limit: 500, ...(token === undefined ? {} : { _continue: token }) })));
const policies = makeInformer(config, '/apis/networking.k8s.io/v1/networkpolicies', async () => paged(async (token) => networking.listNetworkPolicyForAllNamespaces({ limit: 500, ...(token === undefined ? {} : { _continue: token }) })));
for (const informer of [pods, policies]) informer.on('error', (error) => { throw error instanceof Error ? error : new Error(String(error)); });
await Promise.all([pods.start(), policies.start()]);
const readyMs = Number(process.hrtime.bigint() - started) / 1e6;
const { user, system } = process.cpuUsage();
await pause(Number(process.argv[3] ?? 0));
const status = await readFile('/proc/self/status', 'utf8');
const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
console.log(JSON.stringify({ readyMs, cpuMs: (user + system) / 1000, residentMb: field('VmRSS'), peakMb: field('VmHWM'), pods: pods.list().length }));
process.exit(0);
