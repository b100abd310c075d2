/** Frames that the switch reported because they say which addresses a port's workload has (pipeline/learn-flows.ts). */
import type { PacketIn } from './openflow/packets.js';
import { register } from './pipeline/flow.js';
import { SEEN_FRAME } from './pipeline/learn-flows.js';
import { REGISTER } from './pipeline/stages.js';

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

const ETHERNET = 14;
const VLAN = 4;

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
    if (name === undefined || packet.length < ETHERNET + VLAN) return true;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const network = view.getUint16(12) === 0x8100 ? ETHERNET + VLAN : ETHERNET;
    const mac = [...packet.subarray(6, 12)].map((value) => value.toString(16).padStart(2, '0')).join(':');
    this.use?.([{ interface: name, sent, ethertype: view.getUint16(network - 2), payload: packet.subarray(network), mac }]);
    return true;
  }
}
