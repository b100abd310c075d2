/** Who should reach whom: a matrix over pods, and how it is told apart from what was seen. Pure. */
import type { Verdict } from './probe/reach.js';

/** "namespace/pod", either of them or both `*`. */
export type PodPattern = string;

export class Reachability {
  private readonly changed = new Map<string, Verdict>();

  constructor(readonly pods: readonly string[], private readonly base: Verdict) {}

  /**
   * What pods that match `from` see of pods that match `to`; the last word wins. A pattern that matches no pod throws: it
   * would expect nothing. A pod's traffic to itself never leaves it and is in no matrix.
   */
  set(from: PodPattern | readonly PodPattern[], to: PodPattern | readonly PodPattern[], verdict: Verdict): this {
    const targets = this.matching(to);
    for (const source of this.matching(from)) {
      for (const target of targets) this.changed.set(`${source} ${target}`, verdict);
    }
    return this;
  }

  get(from: string, to: string): Verdict {
    return this.changed.get(`${from} ${to}`) ?? this.base;
  }

  pairs(): { readonly from: string; readonly to: string; readonly expected: Verdict }[] {
    return this.pods.flatMap((from) => this.pods.filter((to) => to !== from).map((to) => ({ from, to, expected: this.get(from, to) })));
  }

  private matching(patterns: PodPattern | readonly PodPattern[]): string[] {
    return (typeof patterns === 'string' ? [patterns] : patterns).flatMap((pattern) => {
      const [namespace, name] = pattern.split('/');
      const found = this.pods.filter((pod) => {
        const [podNamespace, podName] = pod.split('/');
        return (namespace === '*' || namespace === podNamespace) && (name === '*' || name === podName);
      });
      if (found.length === 0) throw new Error(`no pod matches ${pattern}`);
      return found;
    });
  }
}
