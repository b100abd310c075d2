/**
 * Flows that show the agent the DNS replies to workloads whose rules name domains, behind all rules: only what may reach the workload counts,
 * and only replies of connections, which nobody can send who was not asked.
 *
 * While the gate is there, replies over UDP go no further than to the agent. It goes by itself unless the agent renews it, so that replies
 * pass when the agent is not there to let them go.
 */
import type { Action } from './openflow/actions.js';
import { CT_STATE } from './openflow/fields.js';
import { flags, raise, register, resubmit, type Flow, type MatchValues } from './pipeline/flow.js';
import { CATEGORY, cookie, FLAG, REGISTER, TABLE } from './pipeline/stages.js';

/** Userdata of reports of replies. */
export const REPLY = { passed: 1, held: 2 } as const;

/** Seconds that the gate stays without being renewed. */
export const GATE_SECONDS = 3;

/** A flood of replies must not keep the agent from its work; Antrea's limit too. What exceeds it is not reported, and lost where it would be held. */
export const REPLY_METER = { id: 0xff01, unit: 'packets', burst: true, stats: true, bands: [{ rate: 5_000, burst: 10_000 }] } as const;

const [TCP, UDP, DNS_PORT] = [6, 17, 53];
const REPLIES: MatchValues = { ct_state: { value: CT_STATE.TRACKED | CT_STATE.REPLY, mask: CT_STATE.TRACKED | CT_STATE.REPLY } };

/** Flows for replies to these ports; none for none. */
export function replyFlows(ports: readonly number[], controller: number): Flow[] {
  if (ports.length === 0) return [];
  const seen = raise(FLAG.replySeen);
  const passes = [report(REPLY.passed, controller), resubmit(TABLE.OUTPUT)];
  const watch = (port: number, match: MatchValues, ...actions: Action[]): Flow => ({
    table: TABLE.OUTPUT, priority: 300, cookie: cookie(CATEGORY.replies, port), actions: [seen, ...actions],
    match: { [register(REGISTER.port)]: port, [register(REGISTER.flags)]: flags(0, FLAG.replySeen), ...REPLIES, ...match },
  });
  return [
    ...ports.flatMap((port) => [0x0800, 0x86dd].flatMap((type) => [
      watch(port, { eth_type: type, ip_proto: UDP, udp_src: DNS_PORT }, resubmit(TABLE.REPLIES)),
      watch(port, { eth_type: type, ip_proto: TCP, tcp_src: DNS_PORT }, ...passes),
    ])),
    { table: TABLE.REPLIES, priority: 0, cookie: cookie(CATEGORY.replies, 0), match: {}, actions: passes },
  ];
}

/** Holds replies over UDP back: to be added with GATE_SECONDS as its hard timeout. */
export function gateFlow(controller: number): Flow {
  return { table: TABLE.REPLIES, priority: GATE_PRIORITY, cookie: cookie(CATEGORY.replies, 0), match: {}, actions: [report(REPLY.held, controller)] };
}

/** What a reply that was held does when it goes on: it is sent as one that came a moment later. */
export function goOn(port: number): Action[] {
  return [{ type: 'set_field', field: register(REGISTER.port), value: port }, raise(FLAG.replySeen), resubmit(TABLE.OUTPUT)];
}

export const GATE_PRIORITY = 10;

function report(what: number, controller: number): Action {
  return { type: 'controller', maxLength: WHOLE, controllerId: controller, meter: REPLY_METER.id, userdata: Uint8Array.of(what) };
}

const WHOLE = 0xffff;
