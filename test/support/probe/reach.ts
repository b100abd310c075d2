/**
 * First contacts between the namespaces of a world, by the thousand and all at once: who gets through, who is refused, who
 * gets no answer. One helper process serves the whole world; 324 connections (nine pods, two ports, both families) take
 * about 0.1 s.
 */
import { fileURLToPath } from 'node:url';
import type { World } from '../netns.js';
import { LineProcess } from './line-process.js';

/** Connected (or answered), dropped (silence), rejected (a reset or an ICMP error at once). */
export type Verdict = 'Con' | 'Drp' | 'Rej';
export type ReachProtocol = 'tcp' | 'udp' | 'icmp';

export interface Check {
  /** Name of an endpoint. */
  readonly from: string;
  readonly address: string;
  readonly protocol: ReachProtocol;
  /** 0 for ICMP (echo request). */
  readonly port: number;
  /** Absent = another one of 32768..60999 every time. */
  readonly sourcePort?: number;
  /** What is waited for longer; never more than that. */
  readonly expected: Verdict;
}

export interface Reach {
  /** Makes a namespace known by a name. `sources`: addresses to connect from; absent = the kernel's choice. */
  endpoint(name: string, netns: string, sources?: { readonly ipv4: string; readonly ipv6: string }): Promise<void>;
  /** Servers that accept (tcp) or echo (udp); on one address, or on every one of both families. */
  listen(endpoint: string, protocol: 'tcp' | 'udp', ports: readonly number[], address?: string): Promise<void>;
  /** Answers in the order of the checks. */
  probe(checks: readonly Check[], limitMs?: number): Promise<Verdict[]>;
}

const VERDICTS: Readonly<Record<string, Verdict>> = { C: 'Con', D: 'Drp', R: 'Rej' };
/** How long silence is listened to: short when an answer that came shows that the machine is awake, longer when none is due. */
const SETTLE_MS = 40;
const SILENT_SETTLE_MS = 150;
/** What shall be answered and is not by then counts as silence. TCP sends again after a second, datagrams four times a second. */
const LIMIT_MS = 3_000;

export async function startReach(world: World): Promise<Reach> {
  const helper = new LineProcess('/usr/bin/python3', [fileURLToPath(new URL('reach.py', import.meta.url))]);
  world.cleanup.defer('reach', () => helper.stop());
  await helper.start({});
  return {
    async endpoint(name, netns, sources) {
      await helper.request({ do: 'endpoint', name, netns, source4: sources?.ipv4 ?? '', source6: sources?.ipv6 ?? '' });
    },
    async listen(endpoint, protocol, ports, address = '') {
      await helper.request({ do: 'listen', endpoint, protocol, ports, address });
    },
    async probe(checks, limitMs = LIMIT_MS) {
      const answered = checks.some(({ expected }) => expected !== 'Drp');
      const { verdicts } = await helper.request<{ verdicts: string }>({
        do: 'probe',
        checks: checks.map((check) => [check.from, check.address, check.protocol, check.port, check.sourcePort ?? 0, check.expected.slice(0, 1)]),
        settleMs: answered ? SETTLE_MS : SILENT_SETTLE_MS,
        limitMs,
      });
      return checks.map((_, index) => {
        const verdict = VERDICTS[verdicts[index] ?? ''];
        if (verdict === undefined) throw new Error(`the helper answered ${verdicts.length} of ${checks.length} checks`);
        return verdict;
      });
    },
  };
}
