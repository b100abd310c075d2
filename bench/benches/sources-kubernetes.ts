/** First sync of a large cluster from the API: the agent until all is in force, beside the informers of Kubernetes' client library that only hold it. */
import { join } from 'node:path';
import { row, type Row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import type { BenchContext } from './bench.js';

interface Answer { readonly readyMs: number; readonly residentMb: number; readonly peakMb: number }
interface AgentAnswer extends Answer { readonly cpuMs: number; readonly loadedMs: number; readonly objects: number; readonly status: { readonly filters: number; readonly policies: number } }

export async function kubernetesRows(context: BenchContext): Promise<{ rows: Row[]; notes: string[] }> {
  const size = context.quick ? { pods: 2_000, policies: 200, namespaces: 100, nodes: 20, localPods: 10 } : { pods: 100_000, policies: 10_000, namespaces: 1_000, nodes: 500, localPods: 50 };
  const run = async (who: 'agent' | 'informer', round: number): Promise<unknown> => {
    context.progress(`${who}, round ${round + 1}`);
    return inSandbox('kubernetes', { ...size, who, directory: join(context.directory, `kubernetes-${who}-${round}`) }, { timeoutMs: 580_000 });
  };
  const agents: AgentAnswer[] = [];
  const informers: Answer[] = [];
  for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
    agents.push(await run('agent', round) as AgentAnswer);
    informers.push(await run('informer', round) as Answer);
  }
  const what = `${size.pods} pods, ${size.policies} policies`;
  const name = 'informers of @kubernetes/client-node';
  const peer = (of: (answer: Answer) => number): { name: string; values: number[] } => ({ name, values: informers.map(of) });
  const [one] = agents;
  return {
    rows: [
      row({ measure: `first sync of ${what}, read from the API`, unit: 'ms', ours: agents.map(({ loadedMs }) => loadedMs), peer: peer(({ readyMs }) => readyMs), goals: [{ kind: 'at most', value: 15_000, of: 'median' }] }),
      row({ measure: 'start of the agent until that is in force', unit: 'ms', ours: agents.map(({ readyMs }) => readyMs) }),
      row({ measure: 'processor time until then, all threads', unit: 'ms', ours: agents.map(({ cpuMs }) => cpuMs) }),
      row({ measure: 'resident, peak', unit: 'MB', ours: agents.map(({ peakMb }) => peakMb), peer: peer(({ peakMb }) => peakMb), goals: [{ kind: 'at most', value: 600, of: 'median' }] }),
      row({ measure: 'resident, when all is quiet', unit: 'MB', ours: agents.map(({ residentMb }) => residentMb), peer: peer(({ residentMb }) => residentMb), goals: [{ kind: 'at most', value: 350, of: 'median' }] }),
    ],
    notes: [
      `pods of some 6 kB, in ${size.namespaces} namespaces on ${size.nodes} nodes; ${one?.objects ?? 0} objects, ${one?.status.policies ?? 0} policies, ${one?.status.filters ?? 0} filters of the host in force`,
      'the API server is that of the tests, in a process of its own on the same machine, its pages packed beforehand; the informers page as the agent does, because as one answer the list is longer than a string can be',
    ],
  };
}
