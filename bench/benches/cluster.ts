/** `compile`: a whole cluster's policies for one node. `churn`: pod events in it. */
import type { Report } from '../lib/report.js';
import { row } from '../lib/row.js';
import { inSandbox } from '../lib/sandbox.js';
import { PODS_EACH, POLICIES_EACH } from '../model/cluster.js';
import type { BenchContext } from './bench.js';

interface Answer {
  readonly total: number;
  readonly decoded: number;
  readonly compiled: number;
  readonly applied: number;
  readonly residentMb: number;
  readonly times: readonly number[];
  readonly events: number;
  readonly cores: number;
  readonly behindMs: number;
}

/** Antrea's controller, half of this work, as its own benchmark file says (pkg/controller/networkpolicy, XLarge): seconds and MB. */
const ANTREA = { seconds: 6, megabytes: 1600 } as const;

function size(quick: boolean): { readonly namespaces: number; readonly localPods: number } {
  return quick ? { namespaces: 200, localPods: 8 } : { namespaces: 25_000, localPods: 100 };
}

function described(quick: boolean): string {
  const { namespaces, localPods } = size(quick);
  return `${namespaces * PODS_EACH} pods, ${namespaces} namespaces, ${namespaces * POLICIES_EACH} NetworkPolicies, ${localPods} local pods`;
}

async function run(quick: boolean, more: { readonly events: number; readonly rate: number; readonly seconds: number }): Promise<Answer> {
  return await inSandbox('cluster', { ...size(quick), ...more }, { nodeOptions: ['--max-semi-space-size=8'], timeoutMs: 600_000 }) as Answer;
}

export async function compile(context: BenchContext): Promise<Report> {
  const answers: Answer[] = [];
  for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
    context.progress(`round ${round + 1}`);
    answers.push(await run(context.quick, { events: 0, rate: 0, seconds: 0 }));
  }
  const rounds = answers.map(() => 1);
  return {
    bench: 'compile',
    rows: [
      row({
        measure: `parsed manifests to committed, ${described(context.quick)}`, unit: 's', ours: answers.map(({ total }) => total / 1000),
        peer: { name: 'Antrea controller, published', values: rounds.map(() => ANTREA.seconds) }, goals: [{ kind: 'at most', value: 6, of: 'median' }],
      }),
      row({
        measure: 'resident memory of the process that did it', unit: 'MB', ours: answers.map(({ residentMb }) => residentMb),
        peer: { name: 'Antrea controller, published', values: rounds.map(() => ANTREA.megabytes) }, goals: [{ kind: 'at most', value: 1000, of: 'median' }],
      }),
      row({ measure: 'of which decoding', unit: 's', ours: answers.map(({ decoded }) => decoded / 1000) }),
      row({ measure: 'of which policies and compilation', unit: 's', ours: answers.map(({ compiled }) => compiled / 1000) }),
      row({ measure: 'of which kernel', unit: 's', ours: answers.map(({ applied }) => applied / 1000) }),
    ],
    notes: ['the peer is a published figure of another machine, for half of this work: selectors to per-node objects, nothing programmed'],
  };
}

export async function churn(context: BenchContext): Promise<Report> {
  context.progress('events one by one, then a stream');
  const answer = await run(context.quick, context.quick ? { events: 20, rate: 100, seconds: 1 } : { events: 2_000, rate: 1_000, seconds: 60 });
  return {
    bench: 'churn',
    rows: [
      row({
        measure: `one pod event to committed, ${described(context.quick)}`, unit: 'ms', ours: answer.times,
        goals: [{ kind: 'at most', value: 1, of: 'median' }, { kind: 'at most', value: 10, of: 'p99' }],
      }),
      row({ measure: `${context.quick ? 100 : 1000} pod events a second: processor`, unit: 'cores', ours: [answer.cores], goals: [{ kind: 'at most', value: 0.5, of: 'median' }] }),
      row({ measure: 'longest that an event waited', unit: 'ms', ours: [answer.behindMs], goals: [{ kind: 'at most', value: 1000, of: 'median' }] }),
    ],
    notes: [`${answer.events} events in the stream; every second single event is of a namespace with pods on this node`],
  };
}
