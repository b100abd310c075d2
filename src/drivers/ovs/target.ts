/** What the Open vSwitch driver is asked to make true. */
import type { Layer2Binding } from '../../compile/layer2.js';
import type { CopyRequest } from '../../model/copying.js';
import type { TrafficMatch } from '../../model/objects.js';
import type { TunnelEnds } from '../../model/tunnel.js';
import type { Target } from '../../compile/target.js';
import type { BridgePort } from './pipeline/port-flows.js';

/** What a filter has beside its rule table. */
export interface FrameFilter {
  /** Declared; '' = to be learned. */
  readonly mac: string;
  /** Canonical hosts; needed beside others only (placement.ts), and empty else. */
  readonly addresses: readonly string[];
  /** Canonical hosts that it may send from (SpoofGuard; empty: any); undefined: nothing is checked. */
  readonly guard: readonly string[] | undefined;
  /** Only these, be there none. */
  readonly strict?: true;
  /** Frames that tell its addresses are shown to the agent. */
  readonly learns?: true;
  readonly layer2: readonly Layer2Binding[];
  /** Copies of what the workload sends (out), and of what is for it (in). */
  readonly mirrors: Readonly<Record<'in' | 'out', readonly CopyTarget[]>>;
  /** The ports that get the traffic instead, or NOWHERE, the first that matches; absent: it is not redirected. */
  readonly redirects: Readonly<Record<'in' | 'out', readonly Diversion[]>>;
}

/** Where copies go. */
export interface CopyTarget extends CopyRequest {
  readonly port: string;
  /** Without what rules refuse. */
  readonly behindRules?: boolean;
}

/** Where some of the traffic goes. */
export interface Diversion {
  /** The TrafficControl. */
  readonly control: string;
  readonly port: string;
  /** Absent: all of it. */
  readonly match?: readonly TrafficMatch[];
}

/** No port: what is redirected there is dropped. */
export const NOWHERE = '';

export interface OvsTarget extends Target {
  /** By interface, as `filters`. */
  readonly frames: ReadonlyMap<string, FrameFilter>;
  /** Ports that get only copies: broadcasts and unknown addresses are not for them. */
  readonly taps: ReadonlySet<string>;
  /** Ports by which redirected traffic comes back. */
  readonly returns: ReadonlySet<string>;
  /** Where copies go by tunnels. */
  readonly tunnels: readonly TunnelEnds[];
}

/** Ports of the bridge by name, as the switch has them. Filters whose interface is no port wait. */
export type BridgePorts = ReadonlyMap<string, Pick<BridgePort, 'number'> & { /** Of the device itself. */ readonly mac: string }>;

export const EMPTY_OVS_TARGET: OvsTarget = { filters: new Map(), tables: new Map(), frames: new Map(), taps: new Set(), returns: new Set(), tunnels: [] };
