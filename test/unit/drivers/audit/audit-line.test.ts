import { describe, expect, test } from 'vitest';
import {
  formatAlert, formatLost, formatMatch, formatSuppressed, formatTerm, tcpFlagsText, terminationOf, type MatchEvent, type TermEvent,
} from '../../../../src/drivers/audit/audit-line.js';
import type { AlertView } from '../../../../src/model/views.js';

const TIME = Date.parse('2026-01-02T03:04:05.678Z');
const match: MatchEvent = {
  timeMs: TIME,
  filterHash: 0xb6507827,
  rule: { table: 'domain-c25', ruleId: 1002, direction: 'in', action: 'reject', tag: 'web' },
  reason: 'match',
  length: 60,
  headers: {
    ethertype: 0x0800, protocol: 6, source: '192.0.2.3', destination: '192.0.2.4', sourcePort: 49627, destinationPort: 80, tcpFlags: 2,
    icmpType: undefined, icmpCode: undefined, laterFragment: false, transportOffset: 20,
  },
};
const term: TermEvent = {
  timeMs: TIME, filterHash: 0x28cd586, rule: { table: 'mainrs', ruleId: 1024, direction: 'out', action: 'accept' }, protocol: 6,
  source: '192.0.2.3', destination: '192.0.2.4', sourcePort: 49627, destinationPort: 49153, termination: 'RST',
  packets: { original: 20, reply: 16 }, bytes: { original: 1718, reply: 76308 },
};
const alert: AlertView = {
  id: '0123456789abcdef', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root',
  category: 'Potentially Bad Traffic', severity: 2, action: 'allowed', protocol: 'tcp', source: { address: '10.0.0.1', port: 80 },
  destination: { address: '10.0.0.2', port: 40000 }, workload: { kind: 'Pod', namespace: 'default', name: 'web' }, filter: 'nic-1-eth0-dfw.2', ruleId: 1006, flowId: '00000000000000ab',
};

describe('NSX format', () => {
  test('match', () => {
    expect(formatMatch(match, 'nsx')).toBe('2026-01-02T03:04:05.678Z b6507827 INET match REJECT domain-c25/1002 IN 60 TCP 192.0.2.3/49627->192.0.2.4/80 S web\n');
  });

  test('no ports for other protocols, no flags, no tag', () => {
    const rule = { table: 'mainrs', ruleId: 1027, direction: 'in', action: 'drop' } as const;
    const headers = { ...match.headers, protocol: 2, source: '0.0.0.0', destination: '224.0.0.1', sourcePort: undefined, destinationPort: undefined, tcpFlags: undefined };
    expect(formatMatch({ ...match, filterHash: 0x028cd586, rule, length: 36, headers }, 'nsx')).toBe(
      '2026-01-02T03:04:05.678Z 028cd586 INET match DROP mainrs/1027 IN 36 PROTO 2 0.0.0.0->224.0.0.1\n',
    );
  });

  test('IPv6 and an unknown filter', () => {
    const headers = { ...match.headers, ethertype: 0x86dd, protocol: 58, source: 'fe80::1', destination: 'ff02::1', sourcePort: undefined, destinationPort: undefined, tcpFlags: undefined, icmpType: 135, icmpCode: 0 };
    expect(formatMatch({ ...match, filterHash: undefined, headers }, 'nsx')).toBe('2026-01-02T03:04:05.678Z 00000000 INET6 match REJECT domain-c25/1002 IN 60 ICMP fe80::1->ff02::1 web\n');
  });

  test('a packet that is not IP', () => {
    const headers = { ...match.headers, ethertype: 0x0806, protocol: undefined, source: '10.0.0.1', destination: '10.0.0.2', sourcePort: undefined, destinationPort: undefined, tcpFlags: undefined };
    expect(formatMatch({ ...match, headers }, 'nsx')).toBe('2026-01-02T03:04:05.678Z b6507827 L2 match REJECT domain-c25/1002 IN 60 ETHERTYPE 0806 10.0.0.1->10.0.0.2 web\n');
  });

  test('a name cannot forge a field or a line', () => {
    const line = formatMatch({ ...match, rule: { ...match.rule, table: 'a b\nc', tag: 'x\r\ny\u2028z 試験' } }, 'nsx');
    expect(line).toContain(' a_b_c/1002 ');
    expect(line.endsWith(' x__y_z_試験\n')).toBe(true);
  });

  test('TERM', () => {
    expect(formatTerm(term, 'nsx')).toBe('2026-01-02T03:04:05.678Z 028cd586 INET TERM PASS mainrs/1024 OUT TCP RST 192.0.2.3/49627->192.0.2.4/49153 20/16 1718/76308\n');
  });

  test('TERM of ICMP has no ports', () => {
    expect(formatTerm({ ...term, protocol: 1, destinationPort: 2048, termination: 'TIMEOUT' }, 'nsx')).toContain(' ICMP TIMEOUT 192.0.2.3->192.0.2.4 20/16 ');
  });

  test('suppressed and lost', () => {
    expect(formatSuppressed(TIME, 12, match.rule, 'nsx')).toBe('2026-01-02T03:04:05.678Z dfw-agent suppressed 12 lines of rule domain-c25/1002\n');
    expect(formatLost(TIME, 3, 'nsx')).toBe('2026-01-02T03:04:05.678Z dfw-agent lost 3 lines\n');
  });

  test('alert', () => {
    expect(formatAlert(alert, 0xb6507827, 'nsx')).toBe(
      '2026-01-02T03:04:05.678Z b6507827 INET alert ALLOWED sid/2100498 severity/2 TCP 10.0.0.1/80->10.0.0.2/40000 rule/1006 flow/00000000000000ab workload/Pod/default/web "GPL ATTACK_RESPONSE id check returned root"\n',
    );
    expect(formatAlert({ ...alert, refused: true, ruleset: 'a table', ruleId: 9 }, 0xb6507827, 'nsx')).toContain(' refused/a_table/9 flow/');
  });
});

describe('JSON format', () => {
  test('match', () => {
    expect(JSON.parse(formatMatch(match, 'json'))).toEqual({
      timestamp: '2026-01-02T03:04:05.678Z', filter: 'b6507827', family: 'INET', reason: 'match', action: 'REJECT', ruleset: 'domain-c25', ruleId: 1002,
      direction: 'IN', length: 60, protocol: 'TCP', source: { address: '192.0.2.3', port: 49627 }, destination: { address: '192.0.2.4', port: 80 }, tcpFlags: 'S', tag: 'web',
    });
  });

  test('TERM', () => {
    expect(JSON.parse(formatTerm(term, 'json'))).toMatchObject({ reason: 'TERM', termination: 'RST', packets: { original: 20, reply: 16 }, bytes: { original: 1718, reply: 76308 } });
  });

  test('one line each', () => {
    for (const line of [formatMatch(match, 'json'), formatTerm(term, 'json'), formatAlert(alert, 1, 'json'), formatSuppressed(TIME, 1, match.rule, 'json'), formatLost(TIME, 1, 'json')]) {
      expect(line.indexOf('\n')).toBe(line.length - 1);
      expect(() => JSON.parse(line)).not.toThrow();
    }
  });
});

test.each([[0x02, 'S'], [0x12, 'SA'], [0x11, 'FA'], [0x18, 'PA'], [0x04, 'R'], [0xc2, 'SEW'], [0, '']])('TCP flags %i are %s', (flags, text) => {
  expect(tcpFlagsText(flags)).toBe(text);
});

test.each([[6, 7, 'FIN'], [6, 8, 'RST'], [6, 3, 'TIMEOUT'], [17, 0, 'TIMEOUT'], [17, 7, 'TIMEOUT']])('protocol %i in state %i ended by %s', (protocol, state, expected) => {
  expect(terminationOf(protocol, state)).toBe(expected);
});
