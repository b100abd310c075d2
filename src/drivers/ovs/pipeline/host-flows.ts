/**
 * Flows of single addresses: by far most of all flows, and alike but for the address and what it leads to. A sink that takes them as
 * such need not be given an object for each.
 */
import type { Key6 } from '../../../compile/key6.js';
import type { Flow, FlowSink } from './flow.js';

/** One object for all flows of its kind: sinks know it again by identity. */
export interface HostPattern {
  readonly family: 4 | 6;
  /** The address leads to a number; else `value` says nothing. */
  readonly valued: boolean;
  /**
   * The flow of an address. Flows of a pattern differ only in the whole address, which stands once in the match, and in the 32 bits of
   * `value`, which stand once in the actions if `valued`; table, priority and cookie are the same.
   */
  flow(address: number | Key6, value: number): Flow;
}

export interface HostSink extends FlowSink {
  /** As `add(pattern.flow(address, value))`. */
  addHost(pattern: HostPattern, address: number | Key6, value: number): void;
  /** As `remove(pattern.flow(address, ...))`. */
  removeHost(pattern: HostPattern, address: number | Key6): void;
}

/** The sink itself, or one that makes the flows for it. */
export function hostSink(sink: FlowSink | HostSink): HostSink {
  if ('addHost' in sink) return sink;
  return {
    add: (flow) => sink.add(flow),
    remove: (flow) => sink.remove(flow),
    addHost: (pattern, address, value) => sink.add(pattern.flow(address, value)),
    removeHost: (pattern, address) => sink.remove(pattern.flow(address, 0)),
  };
}
