import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { renderSuricataConfig, type SuricataSettings } from '../../../../src/drivers/ids/suricata-config.js';

const settings: SuricataSettings = {
  sensor: 'suricata-tap0', clusterId: 99, logDirectory: '/var/log/x', eveFile: '/var/log/x/eve.json', commandSocket: '/run/x.sock',
  ruleFiles: ['/etc/x/test.rules', '/etc/x/*.rules'], homeNetworks: [], statsInterval: 60,
};
const read = (change: Partial<SuricataSettings> = {}): unknown => parse(renderSuricataConfig({ ...settings, ...change }), { version: '1.1' });

test('the parts that inspection of mirrored frames depends on', () => {
  expect(read()).toMatchObject({
    'af-packet': [{ interface: 'suricata-tap0', threads: 1, 'tpacket-v3': true, 'cluster-type': 'cluster_flow', 'checksum-checks': 'no' }],
    capture: { 'checksum-validation': 'none', 'disable-offloading': false },
    stream: { 'checksum-validation': false, midstream: true },
    'rule-files': ['/etc/x/test.rules', '/etc/x/*.rules'],
    'unix-command': { enabled: true, filename: '/run/x.sock' },
    vars: { 'address-groups': { HOME_NET: 'any', EXTERNAL_NET: 'any', HTTP_SERVERS: '$HOME_NET' } },
  });
});

test('inline: both interfaces copy to each other, without the delay of TPACKET_V3; copies are read besides', () => {
  const inline = { sensor: 'ips0', peer: 'ips1' };
  const inPath = [
    { interface: 'ips0', 'copy-mode': 'ips', 'copy-iface': 'ips1', 'cluster-id': 100, 'tpacket-v3': false },
    { interface: 'ips1', 'copy-mode': 'ips', 'copy-iface': 'ips0', 'cluster-id': 101, 'tpacket-v3': false },
  ];
  expect(read({ inline })).toMatchObject({ 'af-packet': [{ interface: 'suricata-tap0', 'cluster-id': 99, 'tpacket-v3': true }, ...inPath], 'host-mode': 'router', stream: { inline: true } });
  const { sensor: _, ...without } = settings;
  expect(parse(renderSuricataConfig({ ...without, inline }), { version: '1.1' })).toMatchObject({ 'af-packet': inPath });
});

test('frames of 64 KB fit into a block, and there are many blocks', () => {
  const config = renderSuricataConfig(settings);
  const number = (key: string): number => Number(new RegExp(`${key}: (\\d+)`).exec(config)?.[1]);
  expect(number('default-packet-size')).toBeGreaterThanOrEqual(65_535 + 14);
  expect(number('block-size')).toBeGreaterThanOrEqual(number('default-packet-size') + 4096);
  expect(number('ring-size')).toBeGreaterThanOrEqual(256);
  expect(Math.log2(number('block-size')) % 1).toBe(0);
});

test('eve.json holds alerts and stats only', () => {
  const config = parse(renderSuricataConfig(settings), { version: '1.1' }) as { outputs: { 'eve-log': { filename: string; types: object[] } }[] };
  expect(config.outputs).toHaveLength(1);
  expect(config.outputs[0]?.['eve-log'].filename).toBe('/var/log/x/eve.json');
  expect(config.outputs[0]?.['eve-log'].types.flatMap((type) => Object.keys(type))).toEqual(['alert', 'stats']);
});

test('home networks and tables', () => {
  expect(read({ homeNetworks: ['10.0.0.0/8', 'fd00::/8'], classificationFile: '/c', referenceFile: '/r' })).toMatchObject({
    vars: { 'address-groups': { HOME_NET: '[10.0.0.0/8,fd00::/8]' } }, 'classification-file': '/c', 'reference-config-file': '/r',
  });
});

test('names cannot become YAML', () => {
  const sensor = 'a"\n  evil: yes # :{}[]\\';
  expect(read({ sensor })).toMatchObject({ 'af-packet': [{ interface: sensor, threads: 1 }] });
  expect(read({ ruleFiles: [] })).toMatchObject({ 'rule-files': [] });
});
