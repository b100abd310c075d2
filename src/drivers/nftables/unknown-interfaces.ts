/**
 * Interfaces that container runtimes make are closed until they have a filter: between the moment that one is there and the moment that the agent hears
 * of it, a process in the container could send. Holds without an agent, too.
 */
import { SETS } from './base-layout.js';
import type { Dialect } from './dialect.js';
import { counter, drop, equal, meta, notInSet } from './expressions.js';
import { rule, type ChainImage, type RuleImage } from './image.js';
import { interfaceKey } from './interface-key.js';
import { HOOK, META } from './kernel.js';

/** `patterns`: names of interfaces, or how they begin (`veth*`). `behind`: so many rules of each base chain stand before. None: the same dialect. */
export function closeUnknown(dialect: Dialect, patterns: readonly string[], behind: number): Dialect {
  if (patterns.length === 0) return dialect;
  return { ...dialect, chains: dialect.chains.map((chain) => (chain.hook === undefined ? chain : closed(chain, chain.hook.hook, patterns, behind))) };
}

function closed(chain: ChainImage, hook: number, patterns: readonly string[], behind: number): ChainImage {
  const from = hook === HOOK.output ? [] : patterns.map((pattern) => closing('from', META.iifname, pattern));
  const to = hook === HOOK.input ? [] : patterns.map((pattern) => closing('to', META.oifname, pattern));
  return { ...chain, rules: [...chain.rules.slice(0, behind), ...from, ...to, ...chain.rules.slice(behind)] };
}

function closing(side: 'from' | 'to', key: number, pattern: string): RuleImage {
  const begin = pattern.endsWith('*') ? new TextEncoder().encode(pattern.slice(0, -1)) : interfaceKey(pattern);
  return rule(`${side} a container's interface that has no filter yet`, meta(key, 0), equal(0, begin), notInSet(SETS.vnics.name, 0), counter, drop);
}
