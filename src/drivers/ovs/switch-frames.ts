/** Frames that the switch reported because they say which addresses a port's workload has (pipeline/learn-flows.ts). */
import { macText } from '../../model/mac-text.js';
import type { PacketIn } from './openflow/packets.js';
import { register } from './pipeline/flow.js';
import { SEEN_FRAME } from './pipeline/learn-flows.js';
import { REGISTER } from './pipeline/stages.js';
import { splitFrame } from './reported-frame.js';

export interface SwitchFrame {
  /** The port's. */
  readonly interface: string;
  readonly sent: boolean;
  readonly ethertype: number;
  /** From the network header on. */
  readonly payload: Uint8Array;
  /** Source; lower case with colons. */
  readonly mac: string;
}

export class SwitchFrames {
  private use: ((frames: readonly SwitchFrame[]) => void) | undefined;

  constructor(private readonly nameOf: (port: number) => string | undefined) {}

  start(use: (frames: readonly SwitchFrame[]) => void): void {
    this.use = use;
  }

  stop(): void {
    this.use = undefined;
  }

  /** True when the report is of such a frame. */
  take({ userdata, packet, metadata }: PacketIn): boolean {
    const [what] = userdata;
    if (what !== SEEN_FRAME.sent && what !== SEEN_FRAME.arrives) return false;
    const sent = what === SEEN_FRAME.sent;
    const number = Number(metadata.fields.find(({ field }) => field === (sent ? 'in_port' : register(REGISTER.port)))?.value ?? 0) & 0xffff;
    const name = this.nameOf(number);
    const frame = splitFrame(packet);
    if (name === undefined || frame === undefined) return true;
    this.use?.([{ interface: name, sent, ...frame, mac: macText(packet, 6) }]);
    return true;
  }
}
