/** What the processes of `ovs` measure. */
import type { GroupsPolicy } from '../model/groups-policy.js';
import type { PolicyOptions } from '../model/policy.js';

export interface OvsRequest {
  readonly policy: GroupsPolicy;
  readonly rounds: number;
  /** Short: sockets of switches stand in directories of it. */
  readonly directory: string;
}

export interface OvsAddressRequest {
  readonly members: number;
  readonly rules: number;
  readonly ports: number;
  readonly rounds: number;
  readonly directory: string;
}

export interface OvsConnectionsRequest {
  /** One switch each. */
  readonly policies: readonly PolicyOptions[];
  readonly rounds: number;
  /** Packets a round, pattern and switch. */
  readonly packets: number;
  readonly directory: string;
}

export interface ReplaceAnswer {
  readonly flows: number;
  readonly cases: Readonly<Record<'actions' | 'matches', { readonly ours: readonly number[]; readonly peer: readonly number[] }>>;
}

export interface AddressAnswer {
  readonly ours: readonly number[];
  readonly settled: readonly number[];
  /** Undefined without OVN. */
  readonly fresh: readonly number[] | undefined;
  readonly daemon: readonly number[] | undefined;
}

export interface ColdAnswer {
  readonly flows: number;
  readonly ours: readonly { readonly total: number; readonly compile: number }[];
  readonly ovnFlows: number | undefined;
  readonly ovn: readonly number[] | undefined;
}

export interface ConnectionsAnswer {
  readonly flows: readonly number[];
  /** Nanoseconds a packet: by pattern, policy, round. */
  readonly times: Readonly<Record<'ports' | 'spread' | 'first', readonly (readonly number[])[]>>;
  /** Nanoseconds of processor that the switch used for a packet, in the same order. */
  readonly processor: ConnectionsAnswer['times'];
  /** Flows in the switch's cache at the end of a round: by pattern, policy. */
  readonly cached: Readonly<Record<'ports' | 'spread' | 'first', readonly number[]>>;
  readonly lost: number;
}

export interface MemoryAnswer {
  readonly flows: number;
  readonly residentMb: number;
  readonly peakMb: number;
  readonly readyMs: number;
}
