import { describe, expect, it } from 'vitest';
import { gateFlow, GATE_PRIORITY, replyFlows } from '../../../../src/drivers/ovs/dns-flows.js';
import type { PacketIn } from '../../../../src/drivers/ovs/openflow/packets.js';
import { encodeMatch } from '../../../../src/drivers/ovs/openflow/match.js';
import { matchFields } from '../../../../src/drivers/ovs/pipeline/flow.js';
import { SwitchReplies, type SwitchReply } from '../../../../src/drivers/ovs/switch-replies.js';

const VERSION = 6;
const key = (flow: ReturnType<typeof gateFlow>): string => `${flow.table} ${flow.priority} ${Buffer.from(encodeMatch(matchFields(flow.match), VERSION)).toString('hex')}`;

describe('flows for replies', () => {
  it('are none for no port, and none twice for several', () => {
    expect(replyFlows([], 1)).toEqual([]);
    const flows = replyFlows([1, 2, 3], 1);
    expect(new Set(flows.map((flow) => key(flow))).size).toBe(flows.length);
    // UDP and TCP in both families for each, and what is done with those that pass.
    expect(flows).toHaveLength(3 * 4 + 1);
  });

  it('have the gate before them', () => {
    const [passes] = replyFlows([1], 1).slice(-1);
    expect(gateFlow(1)).toMatchObject({ table: passes?.table, match: {}, priority: GATE_PRIORITY });
    expect(GATE_PRIORITY).toBeGreaterThan(passes?.priority ?? Infinity);
  });
});

describe('reports of replies', () => {
  const payload = Buffer.from('4500001e', 'hex');
  const report = (what: number | undefined, tag = ''): PacketIn => ({
    // In the middle of what came from a socket.
    packet: Buffer.concat([Buffer.alloc(7), Buffer.from(`0200000000010200000000${'02'}${tag}0800`, 'hex'), payload]).subarray(7),
    fullLength: 18, table: 0, cookie: undefined, reason: 1, metadata: { fields: [{ field: 'reg5', value: 9 }], unknown: [] },
    metadataBytes: new Uint8Array(0), userdata: what === undefined ? new Uint8Array(0) : Uint8Array.of(what), continuation: undefined,
  });
  const harness = (): { replies: SwitchReplies; sent: () => number } => {
    let sent = 0;
    return { sent: () => sent, replies: new SwitchReplies(() => ({ send: (encode) => void (sent += Math.sign(encode(VERSION).length)) })) };
  };

  it('are told from others by their userdata', () => {
    const { replies } = harness();
    expect([replies.take(report(undefined)), replies.take(report(7)), replies.take(report(1)), replies.take(report(2))]).toEqual([false, false, true, true]);
  });

  it.each([['', 'untagged'], ['81000005', 'tagged']])('give the packet without its Ethernet header (%s %s)', (tag) => {
    const { replies, sent } = harness();
    const seen: SwitchReply[] = [];
    replies.start((some) => void seen.push(...some));
    replies.take(report(1, tag));
    replies.take(report(2, tag));
    expect(seen.map(({ ethertype, payload: bytes, letGo }) => [ethertype, Buffer.from(bytes).toString('hex'), letGo === undefined])).toEqual([[0x0800, '4500001e', true], [0x0800, '4500001e', false]]);
    expect(sent()).toBe(0);
    seen[1]?.letGo?.();
    expect(sent()).toBe(1);
  });

  it('that wait go on at once when nobody listens any more', () => {
    const { replies, sent } = harness();
    replies.start(() => undefined);
    replies.stop();
    replies.take(report(2));
    expect(sent()).toBe(1);
  });
});
