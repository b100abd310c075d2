/**
 * Flows that show the agent the frames which say what addresses a port's workload has: ARP, neighbour discovery and DHCP questions that it sends,
 * before SpoofGuard, and DHCP answers that reach it, behind all rules. The frames themselves go on as they would.
 */
import type { Action } from '../openflow/actions.js';
import { flags, raise, register, resubmit, type Flow, type MatchValues, type Step } from './flow.js';
import { CATEGORY, cookie, FLAG, REGISTER, TABLE } from './stages.js';

/** Userdata of these reports. */
export const SEEN_FRAME = { sent: 3, arrives: 4 } as const;
/** Of answers to all ports: who sends them is limited by none of theirs. Behind the meters of DNS replies. */
export const ANSWER_METER = 0xff02;

export interface LearningPort {
  /** The filter's. */
  readonly number: number;
  readonly port: number;
  readonly controller: number;
  /** What becomes of each frame that the workload sends. */
  readonly onward: readonly Step[];
}

const [ARP, IPV4, IPV6, UDP, ICMPV6] = [0x0806, 0x0800, 0x86dd, 17, 58];

export function learnFlows({ number, port, controller, onward }: LearningPort): Flow[] {
  const flow = (table: number, priority: number, match: MatchValues, ...actions: readonly Step[]): Flow => ({ table, priority, cookie: cookie(CATEGORY.filter, number), match, actions });
  const report = (what: number, meter: number): Action => ({ type: 'controller', maxLength: WHOLE, controllerId: controller, meter, userdata: Uint8Array.of(what) });
  const sent: MatchValues[] = [
    { eth_type: ARP }, { eth_type: IPV6, ip_proto: ICMPV6, icmpv6_type: 135 }, { eth_type: IPV6, ip_proto: ICMPV6, icmpv6_type: 136 },
    { eth_type: IPV4, ip_proto: UDP, udp_src: 68, udp_dst: 67 }, { eth_type: IPV6, ip_proto: UDP, udp_src: 546, udp_dst: 547 },
  ];
  const arrives: MatchValues[] = [{ eth_type: IPV4, ip_proto: UDP, udp_src: 67, udp_dst: 68 }, { eth_type: IPV6, ip_proto: UDP, udp_src: 547, udp_dst: 546 }];
  const here: MatchValues = { [register(REGISTER.port)]: port, [register(REGISTER.flags)]: flags(0, FLAG.addressSeen | FLAG.returned) };
  const again = [raise(FLAG.addressSeen), resubmit(TABLE.OUTPUT)];
  return [
    // The port's own meter: what its workload sends takes nobody else's share.
    ...sent.map((match) => flow(TABLE.CLASSIFY, 105, { in_port: port, ...match }, report(SEEN_FRAME.sent, port), ...onward)),
    ...arrives.flatMap((match) => [
      // What goes to many comes back to its sender here, and goes no further. He answers nobody's questions but those of others.
      flow(TABLE.OUTPUT, 331, { ...here, in_port: port, ...match }, ...again),
      flow(TABLE.OUTPUT, 330, { ...here, ...match }, report(SEEN_FRAME.arrives, ANSWER_METER), ...again),
    ]),
  ];
}

const WHOLE = 0xffff;
