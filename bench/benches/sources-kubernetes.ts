/** First sync of a large cluster from the API: the agent until all is in force, beside the informers of Kubernetes' client library that only hold it. */
import { join } from 'node:path';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { BenchContext } from './bench.js';

interface Answer { readonly readyMs: number; readonly cpuMs: number; readonly residentMb: number; readonly peakMb: number }
interface AgentAnswer extends Answer { readonly loadedMs: number; readonly objects: number; readonly status: { readonly filters: number; readonly policies: number } }

export async function kubernetesRows(context: BenchContext): Promise<{ rows: Row[]; notes: string[] }> {
  const size = context.quick ? { pods: 2_000, policies: 200, namespaces: 100, nodes: 20, localPods: 10, rounds: 1, quietMs: 1_000 } : { pods: 100_000, policies: 10_000, namespaces: 1_000, nodes: 500, localPods: 50, rounds: 3, quietMs: 20_000 };
  context.progress(`${size.pods} pods from an API server`);
  const { agents, informers, pagesMs } = await inSandbox('kubernetes', { ...size, directory: join(context.directory, 'kubernetes') }, { timeoutMs: 580_000 }) as { agents: AgentAnswer[]; informers: Answer[]; pagesMs: number[] };
  const what = `${size.pods} pods, ${size.policies} policies`;
  const name = 'informers of @kubernetes/client-node';
  const peer = (of: (answer: Answer) => number): { name: string; values: number[] } => ({ name, values: informers.map(of) });
  const [one] = agents;
  return {
    rows: [
      row({ measure: `first sync of ${what}, read from the API`, unit: 'ms', ours: agents.map(({ loadedMs }) => loadedMs), peer: peer(({ readyMs }) => readyMs), goals: [{ kind: 'at most', value: 15_000, of: 'median' }] }),
      row({ measure: 'the same pages, unpacked and thrown away by one thread', unit: 'ms', ours: pagesMs }),
      row({ measure: 'start of the agent until that is in force', unit: 'ms', ours: agents.map(({ readyMs }) => readyMs) }),
      row({ measure: 'processor time until then, all threads', unit: 'ms', ours: agents.map(({ cpuMs }) => cpuMs), peer: peer(({ cpuMs }) => cpuMs) }),
      row({ measure: 'resident, peak', unit: 'MB', ours: agents.map(({ peakMb }) => peakMb), peer: peer(({ peakMb }) => peakMb), goals: [{ kind: 'at most', value: 600, of: 'median' }] }),
      row({ measure: 'resident, when all is quiet', unit: 'MB', ours: agents.map(({ residentMb }) => residentMb), peer: peer(({ residentMb }) => residentMb), goals: [{ kind: 'at most', value: 350, of: 'median' }] }),
    ],
    notes: [
      `pods of some 7 kB, in ${size.namespaces} namespaces on ${size.nodes} nodes; ${one?.objects ?? 0} objects, ${one?.status.policies ?? 0} policies, ${one?.status.filters ?? 0} filters of the host in force`,
      'the API server is that of the tests, in a process of its own on the same machine, its pages packed beforehand; the informers page as the agent does, because as one answer the list is longer than a string can be',
    ],
  };
}
