/** Flows of one label: its verdict, and while it is in force the connections that go on under it. */
import type { LabelInfo } from '../../../compile/compiled.js';
import { subfield } from '../openflow/oxm.js';
import { CT_STATE } from '../openflow/fields.js';
import { flags, goTo, lower, raise, register, resubmit, set, setPart, type Flow, type Step } from './flow.js';
import { CATEGORY, cookie, FLAG, LABEL_BITS, REGISTER, SIDE, STAMP_BITS, TABLE } from './stages.js';

/** A label and the stamp that connections under it must have to go on unasked. */
export interface Stamped {
  readonly label: LabelInfo;
  /** 1..2^32-1 */
  readonly stamp: number;
}

/** Connections under this label may pass without being judged again. */
export function keepsConnections(label: LabelInfo): boolean {
  return label.action === 'accept' && !label.stateless;
}

/** The first of them carries what the id stands for (its key, in a note), so that a restarted agent knows. */
export function labelFlows({ label, stamp }: Stamped): Flow[] {
  return [...verdictFlows(label, stamp), ...(keepsConnections(label) ? [liveFlow(label, stamp)] : []), ...(label.stateless ? statelessFlows(label) : [])];
}

function verdictFlows(label: LabelInfo, stamp: number): Flow[] {
  const { verdict, accepted } = SIDE[label.side];
  const flow = (priority: number, match: Flow['match'], ...actions: Step[]): Flow => ({
    table: verdict, priority, cookie: cookie(CATEGORY.labels, label.id), match: { [register(REGISTER.label)]: label.id, ...match }, actions,
  });
  const name: Step = { type: 'note', data: new TextEncoder().encode(`${label.key}\0`) };
  if (label.action !== 'accept') {
    const flag = (label.log ? FLAG.log : 0) | (label.action === 'reject' ? FLAG.reject : 0);
    return [flow(100, {}, name, ...(flag === 0 ? [] : [raise(flag), goTo(TABLE.REFUSE)]))];
  }
  const noted = [
    set(label.side === 'out' ? REGISTER.labelOut : REGISTER.labelIn, label.id),
    setPart(subfield('metadata', STAMP_BITS[label.side], 32), label.stateless ? 0 : stamp),
  ];
  const reply = { [register(REGISTER.flags)]: flags(FLAG.turned) };
  const pass = [...noted, goTo(accepted)];
  const flows = [flow(100, {}, name, ...(label.log ? [raise(FLAG.log), resubmit(TABLE.REPORT), lower(FLAG.log)] : []), ...pass)];
  // A stateless rule admits the direction that it matches, and no replies.
  if (label.stateless) flows.push(flow(120, reply));
  // The log has a connection's first packet.
  if (label.log) flows.push(flow(110, { ct_state: { value: CT_STATE.TRACKED, mask: CT_STATE.TRACKED | CT_STATE.NEW } }, ...pass));
  return flows;
}

function liveFlow(label: LabelInfo, stamp: number): Flow {
  return {
    table: SIDE[label.side].live, priority: 50, cookie: cookie(CATEGORY.labels, label.id),
    match: { ct_label: { value: word(label.side, label.id, stamp), mask: word(label.side, 0xffffffff, 0xffffffff) } }, actions: [goTo(SIDE[label.side].afterLive)],
  };
}

/** The last two: SCTP where the tracker knows no ports of it; what is learned of an association names its rules (sctp-flows.ts). */
function statelessFlows(label: LabelInfo): Flow[] {
  const { stateless, afterStateless } = SIDE[label.side];
  const reply = { [register(REGISTER.flags)]: flags(FLAG.reply) };
  const flow = (priority: number, match: Flow['match']): Flow => ({
    table: stateless, priority, cookie: cookie(CATEGORY.labels, label.id), match: { ...reply, ...match },
    actions: [raise(label.side === 'out' ? FLAG.statelessOut : FLAG.statelessIn), goTo(afterStateless)],
  });
  return [
    flow(50, { ct_label: { value: word(label.side, label.id, 0), mask: word(label.side, 0xffffffff, 0) } }),
    ...[0x0800, 0x86dd].map((type) => flow(110, { eth_type: type, ip_proto: 132, [register(label.side === 'out' ? REGISTER.labelOut : REGISTER.labelIn)]: label.id })),
  ];
}

function word(side: 'in' | 'out', id: number, stamp: number): bigint {
  const [at, stampAt] = side === 'out' ? [LABEL_BITS.out, LABEL_BITS.stampOut] : [LABEL_BITS.in, LABEL_BITS.stampIn];
  return (BigInt(id) << BigInt(at)) | (BigInt(stamp) << BigInt(stampAt));
}
