/** TCP states of a connection: Open vSwitch keeps one of each end, the kernel one of both. */
import { TRACKER_TCP_STATES, type TrackerTcpState } from './connection-table.js';

/** TCP_CONNTRACK_* of include/uapi/linux/netfilter/nf_conntrack_tcp.h. */
export const KERNEL_TCP = { none: 0, synSent: 1, synReceived: 2, established: 3, finWait: 4, closeWait: 5, lastAck: 6, timeWait: 7, close: 8, synSent2: 9 } as const;

const place = (state: TrackerTcpState): number => TRACKER_TCP_STATES.indexOf(state);
const CLOSED = place('CLOSED');
const SYN_SENT = place('SYN_SENT');
const ESTABLISHED = place('ESTABLISHED');
const CLOSING = place('CLOSING');
const FIN_WAIT_2 = place('FIN_WAIT_2');
const TIME_WAIT = place('TIME_WAIT');

/**
 * What the kernel would call it. The userspace tracker (tcp_conn_update() of lib/conntrack-tcp.c) uses of its states: CLOSED before an
 * end's first packet, SYN_SENT after it, ESTABLISHED when that was acknowledged, CLOSING after its FIN, FIN_WAIT_2 when that was, TIME_WAIT after a reset.
 * @param packed WORD.tcpState of a record.
 */
export function kernelTcpState(packed: number): number {
  if (packed === 0) return KERNEL_TCP.none;
  const original = (packed >>> 8) - 1;
  const reply = (packed & 0xff) - 1;
  if (original === TIME_WAIT || reply === TIME_WAIT) return KERNEL_TCP.close;
  if (original === FIN_WAIT_2 && reply === FIN_WAIT_2) return KERNEL_TCP.timeWait;
  if (original >= CLOSING && reply >= CLOSING) return KERNEL_TCP.lastAck;
  if (original === FIN_WAIT_2 || reply === FIN_WAIT_2) return KERNEL_TCP.closeWait;
  if (original >= CLOSING || reply >= CLOSING) return KERNEL_TCP.finWait;
  if (original >= ESTABLISHED && reply >= ESTABLISHED) return KERNEL_TCP.established;
  if (original === SYN_SENT && reply === SYN_SENT) return KERNEL_TCP.synSent2;
  if (reply >= SYN_SENT) return KERNEL_TCP.synReceived;
  return original <= CLOSED ? KERNEL_TCP.close : KERNEL_TCP.synSent;
}

/** Both ends have closed it, or one has reset it: it passes nothing any more, though the tracker keeps it for a while. */
export function isOver(kernelState: number): boolean {
  return kernelState === KERNEL_TCP.timeWait || kernelState === KERNEL_TCP.close;
}
