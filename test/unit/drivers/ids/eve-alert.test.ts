import { describe, expect, test } from 'vitest';
import { parseEveAlert, parseEveTime } from '../../../../src/drivers/ids/eve-alert.js';
import { parseEveStats } from '../../../../src/drivers/ids/eve-stats.js';

/** As Suricata 7.0.10 writes it. */
const record = {
  timestamp: '2026-11-21T04:07:07.732114+0000', flow_id: 864659123101871, in_iface: 's0', event_type: 'alert', src_ip: '10.77.0.1', src_port: 80,
  dest_ip: '10.77.0.2', dest_port: 56724, proto: 'TCP', pkt_src: 'wire/pcap',
  alert: { action: 'allowed', gid: 1, signature_id: 2100498, rev: 1, signature: 'GPL ATTACK_RESPONSE id check returned root', category: 'Potentially Bad Traffic', severity: 2 },
  app_proto: 'http', direction: 'to_client',
  flow: { pkts_toserver: 15, start: '2026-11-21T04:07:07.725607+0000', src_ip: '10.77.0.2', dest_ip: '10.77.0.1', src_port: 56724, dest_port: 80 },
};

describe('parseEveAlert', () => {
  test('the packet\'s ends for people, the connection\'s for the lookup', () => {
    expect(parseEveAlert(record)).toEqual({
      view: {
        id: expect.stringMatching(/^[0-9a-f]{16}$/), timestamp: '2026-11-21T04:07:07.732Z', signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root',
        category: 'Potentially Bad Traffic', severity: 2, action: 'allowed', protocol: 'tcp', source: { address: '10.77.0.1', port: 80 }, destination: { address: '10.77.0.2', port: 56724 },
        appProtocol: 'http',
      },
      connection: { protocol: 'tcp', source: { address: '10.77.0.2', port: 56724 }, destination: { address: '10.77.0.1', port: 80 } },
      timeMs: Date.parse('2026-11-21T04:07:07.732Z'),
    });
  });

  test('the id is the same for the same event and another for another', () => {
    const id = parseEveAlert(record)?.view.id;
    expect(parseEveAlert(structuredClone(record))?.view.id).toBe(id);
    expect(parseEveAlert({ ...record, flow_id: 1 })?.view.id).not.toBe(id);
    expect(parseEveAlert({ ...record, timestamp: '2026-11-21T04:07:07.732115+0000' })?.view.id).not.toBe(id);
    expect(parseEveAlert({ ...record, alert: { ...record.alert, signature_id: 1 } })?.view.id).not.toBe(id);
  });

  test('IPv6 addresses become canonical; ICMP has no ports and needs no flow', () => {
    const { flow: _flow, src_port: _sport, dest_port: _dport, ...rest } = record;
    const parsed = parseEveAlert({ ...rest, proto: 'IPv6-ICMP', src_ip: 'fe80:0000:0000:0000:0000:0000:0000:0001', dest_ip: 'FF02::1' });
    const ends = { source: { address: 'fe80::1', port: 0 }, destination: { address: 'ff02::1', port: 0 } };
    expect(parsed?.view).toMatchObject({ protocol: 'ipv6-icmp', ...ends });
    expect(parsed?.connection).toEqual({ protocol: 'ipv6-icmp', ...ends });
  });

  test.each([
    ['another event', { event_type: 'flow' }],
    ['no time', { timestamp: 'yesterday' }],
    ['no signature id', { alert: { signature: 'x' } }],
    ['no alert', { alert: null }],
    ['no address', { src_ip: undefined }],
    ['a wrong address', { dest_ip: 'host.example' }],
  ])('%s is no alert', (_name, change) => {
    expect(parseEveAlert({ ...record, ...change })).toBeUndefined();
  });
});

test.each([
  ['2026-01-02T03:04:05.678901+0000', '2026-01-02T03:04:05.678Z'],
  ['2026-01-02T03:04:05.678901+0900', '2026-01-01T18:04:05.678Z'],
  ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000Z'],
])('time %s', (text, iso) => {
  expect(new Date(parseEveTime(text) ?? 0).toISOString()).toBe(iso);
});

test('stats: counters that the engine leaves out are 0', () => {
  expect(parseEveStats(record)).toBeUndefined();
  const stats = { uptime: 5, capture: { kernel_packets: 52, kernel_drops: 3 }, decoder: { bytes: 301000 }, detect: { alert: 1 }, flow: { memuse: 100 }, tcp: { memuse: 10, reassembly_memuse: 1 } };
  expect(parseEveStats({ event_type: 'stats', timestamp: 't', stats })).toEqual({
    timestamp: 't', uptimeSeconds: 5, packets: 52, dropped: 3, bytes: 301000, alerts: 1, activeFlows: 0, memory: 111, memcapHits: 0,
  });
});
