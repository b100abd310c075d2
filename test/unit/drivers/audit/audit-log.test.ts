import { describe, expect, test } from 'vitest';
import { AuditLog, type AuditLookups } from '../../../../src/drivers/audit/audit-log.js';
import type { AuditFormat } from '../../../../src/drivers/audit/audit-line.js';
import type { AppendFile } from '../../../../src/platform/line-file.js';
import type { AlertView } from '../../../../src/model/views.js';
import type { EndedFlow, NflogPacket } from '../../../../src/native/binding.js';
import type { Logger } from '../../../../src/platform/logger.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const TIME = Date.parse('2026-01-02T03:04:05.678Z');
const LABEL = 0x00ff00ff;

/** Prefixes "table/id action"; interface 7 belongs to filter 0xabc; label LABEL is rule t/5, which logs. */
const lookups: AuditLookups = {
  parsePrefix: (prefix) => {
    const found = /^(\w+)\/(\d+) (drop|accept|reject)$/.exec(prefix);
    const action = found?.[3];
    if (found === null || (action !== 'drop' && action !== 'accept' && action !== 'reject')) return undefined;
    return { table: found[1] ?? '', ruleId: Number(found[2]), direction: 'in', action };
  },
  filterByInterface: (direction, indev, outdev) => ((direction === 'in' ? outdev : indev) === 7 ? 0xabc : undefined),
  endedRule: (labelId, direction) =>
    labelId === LABEL ? { rule: { table: 't', ruleId: 5, direction, action: 'accept', tag: 'ssh' }, filterHash: direction === 'in' ? 1 : 2 } : undefined,
  filterByName: (name) => (name === 'nic-1' ? 0xdef : undefined),
};

class Memory {
  text = '';
  readonly open = (): Promise<AppendFile> =>
    Promise.resolve({
      write: (data: Uint8Array) => {
        this.text += Buffer.from(data).toString('utf8');
        return Promise.resolve(data.length);
      },
      close: () => Promise.resolve(),
    });
}

function build(format: AuditFormat = 'nsx') {
  const memory = new Memory();
  const state = { now: TIME, suppressed: 0 };
  const audit = new AuditLog(
    { path: 'x', format },
    { lookups, now: () => state.now, log: silent, onSuppressed: (lines) => void (state.suppressed += lines), openFile: memory.open },
  );
  return { audit, memory, state };
}

const SYN = Uint8Array.from(Buffer.from('4500003c1c4640004006b1e6c0000203c0000204c1db00500000000100000000a002721000000000', 'hex'));
const packet = (prefix: string, change: Partial<NflogPacket> = {}): NflogPacket => ({
  prefix, indev: 0, outdev: 7, hook: 2, timestampMs: TIME, length: 60, ethertype: 0x0800, payload: SYN, link: new Uint8Array(0), ...change,
});
const ended = (change: Partial<EndedFlow>): EndedFlow => ({
  ruleIdOut: 0x0000ffff, ruleIdIn: LABEL, protocol: 6, source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 1, destinationPort: 22, tcpState: 7,
  packets: { original: 3, reply: 2 }, bytes: { original: 300, reply: 200 }, ...change,
});

describe('AuditLog', () => {
  test('one line a packet, in order; foreign prefixes are counted', async () => {
    const { audit, memory } = build();
    await audit.start();
    audit.onPackets([packet('t/1 drop'), packet('docker: dropped'), packet('t/2 accept', { outdev: 9 })]);
    await audit.stop();
    expect(memory.text).toBe(
      '2026-01-02T03:04:05.678Z 00000abc INET match DROP t/1 IN 60 TCP 192.0.2.3/49627->192.0.2.4/80 S\n' +
        '2026-01-02T03:04:05.678Z 00000000 INET match PASS t/2 IN 60 TCP 192.0.2.3/49627->192.0.2.4/80 S\n',
    );
    expect(audit.status()).toMatchObject({ foreign: 1, suppressed: 0, written: 2 });
  });

  test('a packet without a kernel timestamp gets the present time', async () => {
    const { audit, memory, state } = build();
    state.now += 1000;
    audit.onPackets([packet('t/1 drop', { timestampMs: 0 })]);
    await audit.stop();
    expect(memory.text).toMatch(/^2026-01-02T03:04:06\.678Z /);
  });

  test('lines past the rate are suppressed, counted and said once with the rule', async () => {
    const { audit, memory, state } = build();
    await audit.start();
    for (let round = 0; round < 5; round += 1) audit.onPackets(Array.from({ length: 100 }, () => packet('t/1 drop')));
    audit.onPackets([packet('t/2 drop')]);
    expect(state.suppressed).toBe(300);
    await audit.stop();
    const lines = memory.text.trimEnd().split('\n');
    expect(lines.filter((line) => line.includes(' t/1 ')).length).toBe(200);
    expect(lines.filter((line) => line.includes(' t/2 ')).length).toBe(1);
    expect(lines.filter((line) => line.includes('suppressed'))).toEqual(['2026-01-02T03:04:05.678Z dfw-agent suppressed 300 lines of rule t/1']);
    expect(audit.status().suppressed).toBe(300);
  });

  test('an ended connection gives a line for each side whose rule logs', async () => {
    const { audit, memory } = build();
    audit.onEnded([ended({}), ended({ ruleIdIn: 0x0000ffff }), ended({ ruleIdOut: LABEL, ruleIdIn: 0, tcpState: 8 })]);
    await audit.stop();
    expect(memory.text).toBe(
      '2026-01-02T03:04:05.678Z 00000001 INET TERM PASS t/5 IN TCP FIN 10.0.0.1/1->10.0.0.2/22 3/2 300/200 ssh\n' +
        '2026-01-02T03:04:05.678Z 00000002 INET TERM PASS t/5 OUT TCP RST 10.0.0.1/1->10.0.0.2/22 3/2 300/200 ssh\n',
    );
  });

  test('JSON lines hold the same facts', async () => {
    const { audit, memory } = build('json');
    audit.onPackets([packet('t/1 drop')]);
    audit.onEnded([ended({})]);
    await audit.stop();
    const [match, term] = memory.text.trimEnd().split('\n').map((line): unknown => JSON.parse(line));
    expect(match).toMatchObject({ filter: '00000abc', ruleset: 't', ruleId: 1, action: 'DROP', tcpFlags: 'S' });
    expect(term).toMatchObject({ reason: 'TERM', filter: '00000001', termination: 'FIN', tag: 'ssh' });
  });

  test('an alert stands with its filter\'s hash', async () => {
    const { audit, memory } = build();
    const alert: AlertView = {
      id: 'a', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 9, signature: 'x', category: '', severity: 1, action: 'blocked', protocol: 'udp',
      source: { address: 'fd00::1', port: 1 }, destination: { address: 'fd00::2', port: 2 }, filter: 'nic-1',
    };
    audit.onAlert(alert);
    await audit.stop();
    expect(memory.text).toBe('2026-01-02T03:04:05.678Z 00000def INET6 alert BLOCKED sid/9 severity/1 UDP fd00::1/1->fd00::2/2 "x"\n');
  });
});
