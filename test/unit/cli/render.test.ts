import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { alertLine, alertsText } from '../../../src/cli/render/alerts.js';
import { dvfilterText, filtersText, uuidBytes } from '../../../src/cli/render/filters.js';
import { filterStatText } from '../../../src/cli/render/filterstat.js';
import { countsLine, flowLine, ObjectJoiner } from '../../../src/cli/render/flows.js';
import { serviceName } from '../../../src/cli/render/service-names.js';
import { palette } from '../../../src/cli/render/palette.js';
import { addressSetsText, rulesText, ruleStatsText } from '../../../src/cli/render/rules.js';
import { statusText } from '../../../src/cli/render/status.js';
import { table } from '../../../src/cli/render/table.js';
import { traceText } from '../../../src/cli/render/trace.js';
import type { AlertView, FilterView, FlowView, RulesetView } from '../../../src/model/views.js';

const plain = palette(false);

const filter: FilterView = {
  name: 'nic-145244-eth0-dfw.2', hash: 45228, workload: { kind: 'VirtualMachine', name: 'web-sv-01a' }, vnic: 'eth0', interface: 'tap7', mac: '00:50:56:a6:7a:a2',
  addresses: ['172.16.10.11', 'fd00::11'], slot: 2, agentName: 'dfw-agent', state: 'attached', failurePolicy: 'failClosed', datapath: 'nftables', generation: 7,
  realized: true, rulesets: ['domain-c25'],
};
const pod: FilterView = {
  ...filter, name: 'nic-3-eth0-dfw.2', hash: 7, workload: { kind: 'Pod', namespace: 'default', name: 'web' }, interface: 'veth3f2a', mac: '', addresses: [],
  state: 'waiting', failurePolicy: 'failOpen', realized: false, rulesets: [],
};

describe('filters', () => {
  test('getfilters: blocks of padded keys, an empty line between, the hash last', () => {
    const blocks = filtersText([filter, pod]).split('\n\n');
    expect(blocks).toHaveLength(2);
    expect(blocks[0]?.split('\n')).toEqual([
      'Filter Name              : nic-145244-eth0-dfw.2',
      'Workload                 : VirtualMachine web-sv-01a',
      'VNIC                     : eth0',
      'Interface                : tap7',
      'MAC Address              : 00:50:56:a6:7a:a2',
      'IP Addresses             : 172.16.10.11, fd00::11',
      'Slot                     : 2',
      'Agent Name               : dfw-agent',
      'Datapath                 : nftables',
      'State                    : attached',
      'Failure Policy           : failClosed',
      'Service Profile          : --NOT SET--',
      'Filter Rule Config       : configured',
      'Rulesets                 : domain-c25',
      'Generation               : 7',
      'Filter Hash              : 45228',
    ]);
    expect(blocks[1]).toContain('IP Addresses             : -\n');
    expect(blocks[1]).toContain('Filter Rule Config       : not configured\n');
    expect(blocks[1]).toContain('Generation               : 7 (not realized)\n');
    expect(filtersText([])).toBe('');
  });

  test('summarize-dvfilter: world, port, slot, filter, one space more each', () => {
    const second = { ...filter, name: 'nic-145244-eth1-dfw.2', vnic: 'eth1', interface: 'tap8' };
    expect(dvfilterText([filter, pod, second], new Map([['web-sv-01a', '5026c7cd-b6f3-f4bc-e533-3d4b255c6277']]))).toBe(`Fastpaths:
agent: dfw-agent, refCount: 3, module: nftables
Slowpaths:
Filters:
world 145244 vmm0:web-sv-01a vcUuid:'50 26 c7 cd b6 f3 f4 bc-e5 33 3d 4b 25 5c 62 77'
 port tap7 web-sv-01a.eth0
  vNic slot 2
   name: nic-145244-eth0-dfw.2
   agentName: dfw-agent
   state: IOChain Attached
   vmState: Detached
   failurePolicy: failClosed
   slowPathID: none
   filter source: Dynamic Filter Creation
 port tap8 web-sv-01a.eth1
  vNic slot 2
   name: nic-145244-eth1-dfw.2
   agentName: dfw-agent
   state: IOChain Attached
   vmState: Detached
   failurePolicy: failClosed
   slowPathID: none
   filter source: Dynamic Filter Creation
world 3 vmm0:default/web
 port veth3f2a default/web.eth0
  vNic slot 2
   name: nic-3-eth0-dfw.2
   agentName: dfw-agent
   state: IOChain Detached
   vmState: Detached
   failurePolicy: failOpen
   slowPathID: none
   filter source: Dynamic Filter Creation
`);
    expect(uuidBytes('not a uuid\u001b[2J')).toBe('not a uuid\\u001b[2J');
  });
});

describe('rules', () => {
  const any = { any: true } as const;
  const ruleset: RulesetView = {
    name: 'domain-c25', layer: 3, generation: 1, realizedAt: '', rules: [
      { id: 5, at: 1, direction: 'in', family: 'inet', protocol: 'tcp', source: { not: true, addresses: ['10.0.0.0/8'] }, sourcePorts: ['1024-65535'], destination: any, ports: ['22', '8000-8100'], action: 'drop', log: true, tag: 'x y' },
    ],
  };
  test('an empty line stands between rulesets; nothing for none', () => {
    expect(rulesText([ruleset, { ...ruleset, layer: 2, rules: [] }])).toBe(`ruleset domain-c25 {
  # Filter rules
  rule 5 at 1 in inet protocol tcp from not ip 10.0.0.0/8 port 1024-65535 to any port {22, 8000-8100} drop with log tag 'x y';
}

ruleset domain-c25_L2 {
  # Filter rules
}
`);
    expect(rulesText([])).toBe('');
  });

  test('statistics: awk\'s $6 is the packet count to the workload', () => {
    const stats = { evals: 317802, packets: { in: 2959418, out: 3212647 }, bytes: { in: 648188117, out: 719943929 } };
    const [first] = ruleset.rules;
    if (first === undefined) throw new Error('the ruleset has a rule');
    const line = ruleStatsText([{ ...ruleset, rules: [{ ...first, id: 1002, stats }, first] }]);
    expect(line).toBe('rule  1002: 317802 evals, in 2959418 out 3212647 pkts, in 648188117 out 719943929 bytes\nrule  5: 0 evals, in 0 out 0 pkts, in 0 out 0 bytes\n');
    expect(line.split(/\s+/u)[5]).toBe('2959418');
  });

  test('address sets', () => {
    expect([...addressSetsText([{ name: 'ip-vm-33', addresses: ['172.16.10.12', '10.1.0.0/16'] }, { name: 'empty', addresses: [] }])].join(''))
      .toBe('addrset ip-vm-33 {\nip 10.1.0.0/16,\nip 172.16.10.12,\n}\naddrset empty {\n}\n');
  });
});

describe('flows', () => {
  const flow: FlowView = {
    id: '558a796d00000000', state: 'Active', protocol: 'tcp', ethertype: '0800', direction: 'in', ruleId: 1006, source: { address: '172.16.10.12', port: 44194 },
    destination: { address: '172.16.10.11', port: 22 }, ageSeconds: 2413, timeoutSeconds: 1, tcpState: 'EST', bytes: { original: 3017, reply: 2957 }, packets: { original: 19, reply: 18 },
  };
  test('the line of the NSX screen', () => {
    expect(flowLine(flow)).toBe('558a796d00000000 Active tcp 0800 1 1006 0 0  172.16.10.12:Unknown(44194) 172.16.10.11:ssh(22) 2413 EST 3017 2957 19 18');
    expect(flowLine({ ...flow, protocol: 'icmp', direction: 'out', tcpState: '', source: { address: '::2', port: 0 }, destination: { address: '::1', port: 8 * 256 + 1 } }))
      .toBe('558a796d00000000 Active icmp 0800 2 1006 0 0  ::2:icmp(0) ::1:icmp(8.1) 2413 - 3017 2957 19 18');
    expect(flowLine({ ...flow, protocol: 'udp', tcpState: '', destination: { address: '10.0.0.1', port: 53 } })).toContain(' 10.0.0.1:domain(53) 2413 - ');
    expect(flowLine({ ...flow, protocol: '47', tcpState: '', destination: { address: '10.0.0.1', port: 22 } })).toContain(' 10.0.0.1:Unknown(22) ');
    expect(countsLine({ active: 3, inactive: 0, drop: 1 })).toBe('Count retrieved from kernel active(L3,L4)=3, active(L2)+inactive(L3,L4)=0, drop(L2,L3,L4)=1\n');
  });

  test('services are named as the native formatter names them', () => {
    const source = readFileSync(new URL('../../../native/flow_service.cc', import.meta.url), 'utf8');
    const protocols: Readonly<Record<string, string[]>> = { kTcp: ['tcp'], kUdp: ['udp'], kSctp: ['sctp'], kBoth: ['tcp', 'udp'] };
    const entries = [...source.matchAll(/\{(\d+), ([\w |]+), "([^"]+)"\}/gu)];
    expect(entries.length).toBeGreaterThan(50);
    for (const [, port, names, service] of entries) {
      for (const protocol of (names ?? '').split('|').flatMap((name) => protocols[name.trim()] ?? [])) expect([port, protocol, serviceName(Number(port), protocol)]).toEqual([port, protocol, service]);
    }
    expect([serviceName(22, 'udp'), serviceName(1, 'tcp'), serviceName(22, 'icmp'), serviceName(22, 'constructor')]).toEqual(['Unknown', 'Unknown', 'Unknown', 'Unknown']);
  });

  test.each([
    [['{"a":1}', '{"a":2}', '{"a":3},\n{"a":4}']],
    [['{"a":1},\n', '{"a":2},\n', '{"a":3},\n{"a":4}']],
    [['{"a":1}', ',\n{"a":2}', '', ',\n{"a":3},\n{"a":4}']],
    [['{"a":1},{"a"', ':2},\n{"a":3}', '', ' \n', '{"a":4}\n']],
  ])('chunks %j join to one list', (chunks) => {
    const joiner = new ObjectJoiner();
    const joined = chunks.map((chunk) => joiner.separator(Buffer.from(chunk)) + chunk).join('');
    expect(JSON.parse(`[${joined}]`)).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }, { a: 4 }]);
  });
});

test('getfilterstat: sections in the order of NSX, values where its parsers look', () => {
  const counts = { v4PassIn: 1, v4PassOut: 22, v4DropIn: 3, v4DropOut: 4, v6PassIn: 5, v6PassOut: 6, v6DropIn: 7, v6DropOut: 8 };
  const text = filterStatText({ filter: 'nic-3-eth0-dfw.2', packets: counts, bytes: { ...counts, v4PassIn: 1_000_000_000_000 }, dropReasons: { match: 12, 'state-mismatch': 0 }, miscellaneous: { 'a name that is longer than its column': 7 } });
  expect([...text.matchAll(/^[A-Z ]+?(?=\s{2,}|$)/gmu)].map((match) => match[0]).filter((title) => title !== '')).toEqual(['PACKETS', 'BYTES', 'DROP REASON', 'MISCELLANEOUS', 'FILTER INFO']);
  expect([...text.matchAll(/^v4 (pass|drop)\s*:\s*(\d+)\s+(\d+)/gmu)].map((match) => match.slice(1))).toEqual([
    ['pass', '1', '22'], ['drop', '3', '4'], ['pass', '1000000000000', '22'], ['drop', '3', '4'],
  ]);
  expect(text).toMatch(/^match: +12$/mu);
  expect(text).toContain('a name that is longer than its column: 7\n');
  expect(text).not.toMatch(/ $/mu);
});

test('tables align, right where asked, and escape what could drive a terminal', () => {
  const rows = [{ name: 'a', size: 5 }, { name: 'long\u001b[31m', size: 12345 }, { name: '', size: 0 }];
  expect(table([{ title: 'NAME', cell: (row) => row.name }, { title: 'SIZE', align: 'right', cell: (row) => String(row.size) }], rows))
    .toBe('NAME             SIZE\na                   5\nlong\\u001b[31m  12345\n-                   0\n');
  expect(table([{ title: 'NAME', cell: () => '' }], [])).toBe('NAME\n');
});

test('trace names the rules in the order of the way; without a filter it says so', () => {
  const text = traceText({
    verdict: 'reject',
    steps: [
      { filter: 'nic-1-eth0-dfw.2', direction: 'out', ruleset: 'k8s', ruleId: 12, action: 'accept', policy: { kind: 'NetworkPolicy', group: 'networking.k8s.io', namespace: 'default', name: 'db', rule: 'egress[0]' } },
      { filter: 'nic-2-eth0-dfw.2', direction: 'in', ruleset: 'domain-c25', ruleId: 1002, action: 'reject' },
    ],
  }, plain);
  expect(text.split('\n')).toEqual([
    'verdict: reject',
    'FILTER            DIRECTION  RULESET     RULE  ACTION  POLICY',
    'nic-1-eth0-dfw.2  out        k8s           12  accept  K8sNetworkPolicy:default/db egress[0]',
    'nic-2-eth0-dfw.2  in         domain-c25  1002  reject  -',
    '',
  ]);
  expect(traceText({ verdict: 'allow', steps: [] }, plain)).toBe('verdict: allow\nno filter of this host is on the way\n');
});

test('alerts: columns, and a line each when followed', () => {
  const alert: AlertView = {
    id: '1', timestamp: '2026-01-02T03:04:05.678Z', signatureId: 2100498, signature: 'GPL ATTACK_RESPONSE id check returned root', category: 'Bad', severity: 2, action: 'allowed',
    protocol: 'TCP', source: { address: 'fd00::1', port: 80 }, destination: { address: '10.0.0.2', port: 4 }, workload: { kind: 'Pod', namespace: 'default', name: 'web' }, ruleId: 1006,
  };
  expect(alertLine(alert)).toBe('2026-01-02T03:04:05.678Z [2100498] allowed TCP [fd00::1]:80->10.0.0.2:4 severity 2 default/web rule 1006 "GPL ATTACK_RESPONSE id check returned root"\n');
  expect(alertLine({ ...alert, count: 3, last: '2026-01-02T03:04:09.000Z' })).toContain(' rule 1006 count 3 until 2026-01-02T03:04:09.000Z "GPL');
  expect(alertsText([alert])).toContain('default/web  1006  1   GPL ATTACK_RESPONSE id check returned root\n');
  expect(alertsText([{ ...alert, direction: 'in', count: 3, last: '2026-01-02T03:04:09.000Z' }])).toMatch(/^2026-01-02T03:04:05.678Z +3 +2026-01-02T03:04:09.000Z .* in +default\/web/mu);
});

test('status lists what is degraded and refused; colours only where asked', () => {
  const view = {
    node: 'host-1', version: '0.1.0', datapath: 'nftables', filters: 1, policies: 2, rules: 2, addresses: 3, realized: false, generation: 4,
    sources: [{ type: 'file', synced: true, revision: 9, errors: [{ object: 'web.yaml#2', path: 'spec.rules[0]', message: 'no such\nport' }] }],
    degraded: [{ reason: 'conntrack events lost', since: '2026-01-02T03:04:05Z' }], components: [],
  };
  const text = statusText(view, plain);
  expect(text).toContain('Realized                 : no\n');
  expect(text).toContain('file    yes            9       1\n');
  expect(text.split('\n').slice(-3)).toEqual(['degraded since 2026-01-02T03:04:05Z: conntrack events lost', 'refused file: web.yaml#2: spec.rules[0]: no such\\u000aport', '']);
  expect(text).not.toContain('\u001b');
  expect(statusText(view, palette(true))).toContain('\u001b[31mno\u001b[0m');
});
