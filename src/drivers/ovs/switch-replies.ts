/** DNS replies that the switch reported; those that it holds back go on by a packet-out. */
import { goOn, REPLY } from './dns-flows.js';
import { PORT } from './openflow/constants.js';
import { encodePacketOut, type PacketIn } from './openflow/packets.js';
import { register } from './pipeline/flow.js';
import { REGISTER } from './pipeline/stages.js';
import { splitFrame } from './reported-frame.js';
import type { BridgeConnection } from './session.js';

export interface SwitchReply {
  readonly ethertype: number;
  /** From the network header on. */
  readonly payload: Uint8Array;
  /** Present: it waits, and goes on to the workload when this is called. */
  readonly letGo?: () => void;
}

export class SwitchReplies {
  private use: ((replies: readonly SwitchReply[]) => void) | undefined;

  constructor(private readonly bridge: () => Pick<BridgeConnection, 'send'>) {}

  start(use: (replies: readonly SwitchReply[]) => void): void {
    this.use = use;
  }

  stop(): void {
    this.use = undefined;
  }

  /** True when the report is of a reply. One that waits goes on at once when nobody listens. */
  take({ userdata, packet, metadata }: PacketIn): boolean {
    const [what] = userdata;
    if (what !== REPLY.passed && what !== REPLY.held) return false;
    // A copy of its own: it may wait.
    const frame = new Uint8Array(packet);
    const reply = splitFrame(frame);
    if (reply === undefined) return true;
    const port = Number(metadata.fields.find(({ field }) => field === register(REGISTER.port))?.value ?? 0);
    const letGo = (): void => this.bridge().send((version) => encodePacketOut({ packet: frame, inPort: PORT.CONTROLLER, actions: goOn(port) }, version));
    if (this.use !== undefined) this.use([{ ...reply, ...(what === REPLY.held ? { letGo } : {}) }]);
    else if (what === REPLY.held) letGo();
    return true;
  }
}
