/**
 * Table `inet dfw_dns`: copies of the DNS replies that go to workloads whose rules name domains. Here only while there are such
 * rules, beside table `inet dfw`, so that traffic of others is spared. After source NAT: what the workload asked is the source.
 * Only replies of connections count: nobody can send a workload an answer that it did not ask for.
 */
import { byte, ct, equal, inSet, limit, log, meta, payload, type Expression } from './expressions.js';
import { rule, type ChainImage, type SetImage } from './image.js';
import { CT, FAMILY, HOOK, META, PAYLOAD, TYPE } from './kernel.js';

export const DNS_TABLE = { family: FAMILY.inet, table: 'dfw_dns' } as const;

/** Interfaces whose workloads' replies are copied. */
export const DNS_VNICS: SetImage = { name: 'vnics', keyType: TYPE.ifname, keyLength: 16, interval: false, data: 0, counter: false, size: 0 };

/** Behind source NAT, which is 100. */
const PRIORITY = 300;
/** A flood of replies must not keep the agent from its work; Antrea's limit too. */
const RATE = 5_000;
const BURST = 10_000;
const SNAP_LENGTH = 65_535;
const PREFIX = 'dfw dns';

export function dnsChain(logGroup: number): ChainImage {
  return { name: 'replies', hook: { hook: HOOK.postrouting, priority: PRIORITY }, rules: [
    rule('DNS replies over UDP', ...replies(17), ...copied(logGroup)),
    rule('DNS replies over TCP', ...replies(6), ...copied(logGroup)),
  ] };
}

function replies(protocol: number): readonly Expression[] {
  return [
    meta(META.oifname, 0), inSet(DNS_VNICS.name, 0), meta(META.l4proto, 0), equal(0, byte(protocol)),
    payload(PAYLOAD.transport, 0, 2, 0), equal(0, Uint8Array.of(0, 53)), ct(CT.direction, 0), equal(0, byte(1)),
  ];
}

function copied(logGroup: number): readonly Expression[] {
  return [limit(RATE, BURST), log(logGroup, PREFIX, SNAP_LENGTH)];
}
