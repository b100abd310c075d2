/** What learning names needs of a datapath: replies of DNS servers to workloads, shown or held back. */
import type { CopiedPacket } from '../dns/reply-packets.js';

/** A reply on its way to a workload. */
export interface SeenReply extends CopiedPacket {
  /** Present: it waits, and goes on to the workload when this is called. Throws when it cannot. */
  readonly letGo?: () => void;
}

export interface ReplyReader {
  start(use: (replies: readonly SeenReply[]) => void): void;
  stop(): void;
}

export interface ReplyWatch {
  /** As people name it. */
  readonly object: string;
  /** apply() must be called again when this differs, also for the same interfaces. */
  key(interfaces: readonly string[]): string;
  /** Replies to these interfaces are shown, and to no others. True when something was written. Rejects with AgentError, retryable; the old state then stays. */
  apply(interfaces: readonly string[]): Promise<boolean>;
  /** Is it other than apply() made it? Reads only. */
  differs(interfaces: readonly string[]): Promise<boolean>;
  /** Differs when somebody may have changed it. */
  generation(): Promise<number>;
  /** Holds replies over UDP to these interfaces back for 3 s from now, and to no others; apply() came first. */
  hold(interfaces: readonly string[]): Promise<void>;
  /** What was removed, as people name it. */
  cleanup(): Promise<string[]>;
}
