/** The addresses of a test world, as far as generators and the oracle need them. */
import { parseAddress, parseLiteral, type AddressRange } from './addresses.js';

export interface PlanWorkload {
  readonly name: string;
  readonly mac: string;
  readonly hostMac: string;
  /** Addresses that manifests declare. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** Prefixes routed to the workload that no manifest declares. */
  readonly undeclared: readonly string[];
}

export interface AddressPlan {
  readonly workloads: readonly PlanWorkload[];
  /** The host's own addresses that every workload can reach. */
  readonly host: readonly string[];
  /** Prefixes routed to the outside namespace; empty without one. */
  readonly outside: readonly string[];
  /** Who answers what a rule refuses; absent: the host. */
  readonly refusedBy?: 'host' | 'switch';
  /** Every second pair of workloads: frames go straight from one to the other; else, and for all others, by way of the host. */
  readonly direct?: boolean;
}

/** Where packets come from or go to: a workload's name, or one of these. */
export type Endpoint = string;
export const HOST: Endpoint = 'host';
export const OUTSIDE: Endpoint = 'outside';

/** The MAC address that this workload's frames to the endpoint have as destination, and those from there as source. */
export function neighbourOf(plan: AddressPlan, workload: PlanWorkload, peer: Endpoint | undefined): string {
  const index = plan.workloads.findIndex(({ name }) => name === peer);
  const other = plan.workloads[index];
  return plan.direct === true && other !== undefined && (index + plan.workloads.indexOf(workload)) % 2 === 1 ? other.mac : workload.hostMac;
}

/** Longest-prefix routing of the world; undefined = nowhere. */
export function endpointOf(plan: AddressPlan, address: string): Endpoint | undefined {
  const { kind, value } = parseAddress(address);
  let best: { endpoint: Endpoint; size: bigint } | undefined;
  const consider = (endpoint: Endpoint, literal: string): void => {
    const range: AddressRange = parseLiteral(literal);
    const size = range.last - range.first;
    if (range.kind !== kind || value < range.first || value > range.last) return;
    if (best === undefined || size < best.size) best = { endpoint, size };
  };
  for (const address_ of plan.host) consider(HOST, address_);
  for (const workload of plan.workloads) for (const literal of [workload.ipv4, workload.ipv6, ...workload.undeclared]) consider(workload.name, literal);
  for (const prefix of plan.outside) consider(OUTSIDE, prefix);
  return best?.endpoint;
}
