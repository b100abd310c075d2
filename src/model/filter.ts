/** A filter: one workload's vNIC on this host, and everything that is bound to it. */
import type { RuleTableObject, WorkloadReference } from './objects.js';
import { hash32 } from './text-hash.js';

export interface Filter {
  /** Stable across restarts; never given to another attachment while this one exists. */
  readonly number: number;
  /** nic-<number>-<vnic>-dfw.2 */
  readonly name: string;
  readonly hash: number;
  /** The Attachment's name. */
  readonly attachment: string;
  readonly workload: WorkloadReference;
  /** Labels of the workload object; empty when there is no such object. */
  readonly labels: Readonly<Record<string, string>>;
  readonly vnic: string;
  readonly interface: string;
  readonly mac: string;
  /** Canonical hosts; possibly empty. */
  readonly addresses: readonly string[];
  readonly uuid: string;
  /** Rule tables applied to it, in order of evaluation (by name). */
  readonly tables: readonly RuleTableObject[];
  /** As AttachmentObject.early. */
  readonly early?: true;
}

export function filterName(number: number, vnic: string): string {
  return `nic-${number}-${vnic}-dfw.2`;
}

/** The short number by which log lines name a filter (NSX: Filter Hash). */
export function filterHash(name: string): number {
  return hash32(name);
}
