/**
 * Table `inet dfw_dns`: copies of the DNS replies that go to workloads whose rules name domains. Here only while there are such
 * rules, beside table `inet dfw`, so that traffic of others is spared. After source NAT: what the workload asked is the source.
 * Only replies of connections count: nobody can send a workload an answer that it did not ask for.
 *
 * While its interface is in set `hold`, a workload's reply over UDP goes no further: the agent lets it go once what it says is in
 * force. The elements go by themselves unless the agent renews them, so that replies pass when it is not there to let them go.
 */
import { atMost, byte, ct, drop, equal, inSet, limit, log, meta, payload, type Expression } from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { CT, FAMILY, HOOK, META, PAYLOAD, TYPE } from './kernel.js';

export const DNS_TABLE = { family: FAMILY.inet, table: 'dfw_dns' } as const;

const interfaces = { keyType: TYPE.ifname, keyLength: 16, interval: false, data: 0, counter: false, size: 0 } as const;
/** Interfaces whose workloads' replies are copied. */
export const DNS_VNICS: SetImage = { name: 'vnics', ...interfaces };
/** Those whose replies are held back. */
export const DNS_HOLD: SetImage = { name: 'hold', ...interfaces, timeoutMs: 3_000 };

/** How a copy says that the packet itself was held back. */
export const HELD_PREFIX = 'dfw dns held';
const PASSED_PREFIX = 'dfw dns';

/** Behind source NAT, which is 100. */
const PRIORITY = 300;
/** A flood of replies must not keep the agent from its work; Antrea's limit too. */
const RATE = 5_000;
const BURST = 10_000;
const SNAP_LENGTH = 65_535;
const [TCP, UDP] = [6, 17];
/** UDP length of the largest reply that is held: what fits any link whole (RFC 8200 section 5), as it cannot be fragmented later. */
const HELD_LENGTH = 1280 - 40;

export function dnsChain(logGroup: number): ChainImage {
  const copied = (prefix: string): readonly Expression[] => [limit(RATE, BURST), log(logGroup, prefix, SNAP_LENGTH)];
  const short = [payload(PAYLOAD.transport, 4, 2, 0), atMost(0, Uint8Array.of(HELD_LENGTH >>> 8, HELD_LENGTH & 0xff))];
  return { name: 'replies', hook: { hook: HOOK.postrouting, priority: PRIORITY }, rules: [
    rule('DNS replies that wait for what they say', ...replies(DNS_HOLD, UDP), ...short, ...copied(HELD_PREFIX), drop),
    rule('DNS replies over UDP', ...replies(DNS_VNICS, UDP), ...copied(PASSED_PREFIX)),
    rule('DNS replies over TCP', ...replies(DNS_VNICS, TCP), ...copied(PASSED_PREFIX)),
  ] };
}

function replies(to: SetImage, protocol: number): readonly Expression[] {
  return [
    meta(META.oifname, 0), inSet(to.name, 0), meta(META.l4proto, 0), equal(0, byte(protocol)),
    payload(PAYLOAD.transport, 0, 2, 0), equal(0, Uint8Array.of(0, 53)), ct(CT.direction, 0), equal(0, byte(1)),
  ];
}
