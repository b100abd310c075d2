/** An Ethernet frame that the switch reported, taken apart: with one VLAN tag (IEEE 802.1Q) or none. */

export interface ReportedFrame {
  readonly ethertype: number;
  /** From the network header on; a view of the frame. */
  readonly payload: Uint8Array;
}

const ETHERNET = 14;
const VLAN = 4;
const TAGGED = 0x8100;

/** Undefined: too short to be one that anybody sends. */
export function splitFrame(frame: Uint8Array): ReportedFrame | undefined {
  if (frame.length < ETHERNET + VLAN) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const network = view.getUint16(ETHERNET - 2) === TAGGED ? ETHERNET + VLAN : ETHERNET;
  return { ethertype: view.getUint16(network - 2), payload: frame.subarray(network) };
}
