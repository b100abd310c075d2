import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { commandLineHelp, parseCommandLine } from '../../../src/app/command-line.js';
import { renderConfigDoc } from '../../../src/app/config-doc.js';
import { CONFIG_FORMATS, parseListen } from '../../../src/app/config-formats.js';
import { configKeys } from '../../../src/app/config-keys.js';
import { loadConfig } from '../../../src/app/config.js';
import type { Config } from '../../../src/app/config.js';
import { isAgentError } from '../../../src/model/errors.js';

interface Given { argv?: string[]; env?: Record<string, string>; file?: string; files?: Record<string, string> }
function load({ argv = [], env = {}, file, files = {} }: Given = {}): Config {
  const all = new Map([...Object.entries(files), ...(file === undefined ? [] : [['/etc/dfw-agent/agent.yaml', file] as const])]);
  return loadConfig({ argv, env, readFile: (name) => all.get(name), hostname: () => 'host-1' });
}
function problemsOf(given: Given): string {
  try {
    load(given);
  } catch (error) {
    if (isAgentError(error, 'E_CONFIG')) return error.message;
    throw error;
  }
  return 'accepted';
}

/** The example of the interface contract: every key of the first version at its documented value. */
const EXAMPLE = `
node: host-1
datapath: nftables
ovs: { bridge: br-int, database: unix:/run/openvswitch/db.sock }
sources:
  - { type: file, path: /etc/dfw-agent/manifests }
failurePolicy: closed
api: { socket: /run/dfw-agent/agent.sock, group: dfw }
metrics: { listen: "127.0.0.1:9476" }
audit: { path: /var/log/dfw-agent/dfwpktlogs.log, format: nsx }
ids: { enabled: false, tap: dfw-tap0, sensor: suricata-tap0, engine: suricata, mode: ids, signatures: /etc/dfw-agent/signatures }
stateDir: /var/lib/dfw-agent
`;

describe('loadConfig', () => {
  it('has a default for everything, and the documented example is those defaults', () => {
    expect(load()).toEqual(load({ file: EXAMPLE }));
    expect(load()).toMatchObject(parse(EXAMPLE) as object);
    expect(load().nflogGroup).toBe(223);
  });

  it('takes option before variable before file before default, key by key', () => {
    const file = 'api: { socket: /file, group: filegroup }\nstateDir: /file\n';
    const env = { DFW_API_SOCKET: '/env', DFW_STATE_DIR: '/env' };
    const config = load({ file, env, argv: ['--api-socket', '/flag'] });
    expect([config.api.socket, config.stateDir, config.api.group, config.audit.format]).toEqual(['/flag', '/env', 'filegroup', 'nsx']);
  });

  it('sets every key through its option, its variable and the file alike', () => {
    const samples: Record<string, unknown> = {
      node: 'n-2', cluster: 'demo', datapath: 'ovs', 'ovs.bridge': 'br-x', 'ovs.database': 'tcp:127.0.0.1:6640', 'ovs.discoverPorts': false, 'ovs.endRestoreWait': true, 'ovs.firstTable': 100, 'ovs.nextTable': 200, sources: [{ type: 'file', path: '/a' }, { type: 'file', path: '/b' }],
      'discovery.pods': false, 'discovery.libvirt': '/run/other', 'discovery.node.enabled': true, 'discovery.node.labels': { zone: 'a' }, 'discovery.node.addresses': ['192.0.2.9'], 'cni.socket': '/cni.sock', 'cni.interfaces': ['veth*', 'eth7'], failurePolicy: 'open', spoofGuard: 'declared', 'api.socket': '/s', 'api.group': 'ops', 'metrics.listen': '[::1]:1', 'audit.path': '/a', 'audit.format': 'json', 'ids.enabled': true,
      'ids.tap': 'tap1', 'ids.sensor': 'tap2', 'ids.engine': 'external', 'ids.program': '/opt/suricata', 'ids.mode': 'ids', 'ids.inlineTap': 'i0', 'ids.inlineSensor': 'i1', 'ids.returnTap': 'i2', 'ids.returnSensor': 'i3', 'ids.returnedMark': 128, 'ids.signatures': '/sig',
      'ids.eveFile': '/log/eve.json', 'ids.homeNetworks': ['10.0.0.0/8', 'fd00::1'], 'ids.commandSocket': '/run/s.sock', 'ids.engineDirectory': '/var/lib/engine', 'ids.endsWithAgent': true, 'ids.memoryLimit': 1, 'ids.processorLimit': 2,
      'ids.bundle': 'https://rules.example/a.tar.gz', 'ids.bundleChecksum': '', 'ids.bundleInterval': 3600, 'ids.bundleCa': '/ca.pem', 'ids.allowFailedSignatures': 3,
      'ids.alertWindow': 0, 'ids.sinks': [{ type: 'file', path: '/alerts' }], 'ids.pcap.enabled': true, 'ids.pcap.bytes': 1048576,
      'ids.response': [{ action: 'quarantine', duration: 60, severities: [1] }], 'ids.quarantine.allow': [{ addresses: ['10.0.0.1'] }], stateDir: '/state',
      'log.level': 'debug', nflogGroup: 7, 'dns.minTTL': 60, 'dns.holdReplies': false, 'dns.servers': ['10.96.0.10', 'fd00:96::/64'], 'dns.nflogGroup': 8, 'bridge.nflogGroup': 9,
      'egress.leases': 'file', 'egress.directory': '/leases', 'egress.namespace': 'leases', 'egress.leaseMs': 5000, 'egress.exceptCidrs': ['10.0.0.0/8'], 'egress.interface': 'eth1', 'egress.device': 'tun-e', 'egress.tunnelAddress': '192.0.2.1', 'egress.tunnelPort': 4791,
      'egress.markMask': 0xf000, 'egress.routeTable': 100, 'egress.rulePriority': 99, 'conntrack.receiveBuffer': 1048576, resyncSeconds: 0,
    };
    expect(configKeys().map((key) => key.path.join('.')).toSorted()).toEqual(Object.keys(samples).toSorted());
    for (const { path: at, flag, variable } of configKeys()) {
      const value = samples[at.join('.')];
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      const file = `${at.map((name, depth) => `${'  '.repeat(depth)}${name}:`).join('\n')} ${JSON.stringify(value)}\n`;
      const read = (config: Config): unknown => at.reduce<unknown>((tree, name) => Reflect.get(Object(tree), name), config);
      // What makes no sense alone.
      const argv = new Map([
        ['--ovs-first-table', ['--ovs-next-table=200']], ['--ids-bundle-checksum', ['--ids-bundle=/b.zip']], ['--egress-leases', ['--egress-directory=/leases']],
        ['--ids-engine-directory', ['--ids-engine=external', '--ids-command-socket=/s']], ['--ids-ends-with-agent', ['--ids-engine=external']],
      ]).get(flag) ?? [];
      expect([flag, read(load({ argv: [...argv, `${flag}=${text}`] })), read(load({ env: { [variable]: text }, argv })), read(load({ file, argv }))]).toEqual([flag, value, value, value]);
    }
  });

  it('takes beginnings of interface names, but none that are too short, and not where nobody closes them', () => {
    const good = (pattern: string): string => {
      try {
        return load({ argv: [`--cni-interfaces=["${pattern}"]`] }).cni.interfaces.join();
      } catch {
        return 'refused';
      }
    };
    expect(['cali*', 'veth0', 'abc*', '*', 'et*', 'a*b*', 'veth*x', 'with space*', ''].map(good)).toEqual(['cali*', 'veth0', 'abc*', ...Array.from({ length: 6 }, () => 'refused')]);
    expect(problemsOf({ argv: ['--cni-interfaces=[veth*]', '--datapath=ovs'] })).toContain('cni.interfaces: needs datapath nftables');
  });

  it('reads the file that --config or DFW_CONFIG names, and misses it when it is absent', () => {
    const files = { '/one': 'stateDir: /one\n', '/two': 'stateDir: /two\n' };
    expect(load({ files, argv: ['--config', '/one'], env: { DFW_CONFIG: '/two' } }).stateDir).toBe('/one');
    expect(load({ files, env: { DFW_CONFIG: '/two' } }).stateDir).toBe('/two');
    expect(problemsOf({ argv: ['--config=/none'] })).toContain('/none: there is no such file');
  });

  it('treats an empty file as no settings and an empty variable as not set', () => {
    expect(load({ file: '# nothing\n', env: { DFW_STATE_DIR: '', DFW_CONFIG: '' } })).toEqual(load());
  });

  it('says every problem at once, each with place, key and reason', () => {
    const message = problemsOf({
      file: 'datapth: nftables\napi:\n  sockets: /x\naudit: { format: xml, path: relative }\nids: { enabled: perhaps }\nsources: [{ type: fil }, { type: file }]\n',
      env: { DFW_NFLOG_GROUP: '70000', DFW_METRICS_LISTEN: 'nowhere' },
      argv: ['--api-grup', 'x', 'stray', '--failure-policy', 'ajar', '--ids-tap=a-name-that-is-too-long'],
    });
    for (const line of [
      'agent.yaml:1: datapth: unknown key; did you mean datapath?',
      'agent.yaml:3: api.sockets: unknown key; did you mean socket?',
      'agent.yaml:4: audit.format: must be one of: nsx, json',
      'agent.yaml:4: audit.path: must be an absolute path',
      'agent.yaml:5: ids.enabled: must be boolean',
      'agent.yaml:6: sources[0].type: must be one of: file, kubernetes, etcd',
      'agent.yaml:6: sources[1]: needs the key "path"',
      'DFW_NFLOG_GROUP: nflogGroup: must be <= 65535',
      'DFW_METRICS_LISTEN: metrics.listen: must be ADDRESS:PORT (IPv6 in brackets), or empty for none',
      '--failure-policy: failurePolicy: must be one of: closed, open',
      '--ids-tap: ids.tap: must be an interface name',
      'command line: unknown option "--api-grup"; did you mean --api-group?',
      'command line: unexpected argument "stray"',
    ]) expect(message).toContain(line);
    expect(message).toContain('(13 problems)');
  });

  it('refuses text that is no YAML, or no mapping, with the line', () => {
    expect(problemsOf({ file: 'node: host-1\napi: { socket: [\n' })).toMatch(/agent\.yaml:[23]: /);
    expect(problemsOf({ file: 'node: *nothing\n' })).toContain('alias');
    expect(problemsOf({ file: '- a\n' })).toContain('must be a mapping');
    expect(problemsOf({ file: 'stateDir: /a\nstateDir: /b\n' })).toContain('agent.yaml:2');
    expect(problemsOf({ argv: ['--sources', '[{'] })).toContain('--sources: is no YAML');
  });

  it('refuses what this version cannot do instead of ignoring it', () => {
    expect(problemsOf({ argv: ['--ids-returned-mark', '2148532224'] })).toContain('ids.returnedMark: has bits of egress.markMask');
    expect(problemsOf({ file: 'sources: [{ type: kubernetes, namespaces: [Shop] }]\n' })).toContain('agent.yaml:1: sources[0].namespaces[0]: ');
    expect(problemsOf({ argv: ['--datapath', 'ovs', '--ids-mode', 'ips', '--ids-engine', 'external'] })).toContain('ids.commandSocket: is needed with ids.mode ips');
    expect(problemsOf({ argv: ['--datapath', 'ovs', '--ids-mode', 'ips', '--ids-engine', 'external', '--ids-command-socket', '/run/s'] })).toBe('accepted');
    expect(problemsOf({ argv: ['--ids-engine', 'external', '--ids-engine-directory', '/d'] })).toContain('ids.commandSocket: is needed with ids.engineDirectory');
    expect(problemsOf({ argv: ['--ids-engine-directory', '/d'] })).toContain('ids.engineDirectory: is of an external engine');
    expect(problemsOf({ argv: ['--ids-ends-with-agent', 'true'] })).toContain('ids.endsWithAgent: is of an external engine');
    expect(problemsOf({ argv: ['--ids-ends-with-agent', 'true', '--ids-engine', 'external'] })).toBe('accepted');
  });

  it('of an etcd source: places, certificates, users, one at most', () => {
    const etcd = (keys: string): string => problemsOf({ file: `sources: [{ type: etcd, ${keys} }]\n` });
    expect(load({ file: 'sources: [{ type: etcd, endpoints: ["https://a:2379", "unix:/run/etcd.sock"], prefix: /x/y, tls: { ca: /ca, cert: /c, key: /k }, user: u, passwordFile: /p, publish: false, grace: 10 }]\n' }).sources[0]?.type).toBe('etcd');
    expect(etcd('endpoints: ["etcd-1:2379"]')).toContain('sources[0].endpoints[0]: must be http://HOST:PORT, https://HOST:PORT or unix:/PATH');
    expect(etcd('endpoints: []')).toContain('sources[0].endpoints');
    expect(etcd('endpoints: ["http://a:1"], prefix: "/x/"')).toContain('sources[0].prefix: must be segments');
    expect(etcd('endpoints: ["http://a:1"], tls: { ca: /ca }')).toContain('sources[0].tls: needs endpoints that begin with https:');
    expect(etcd('endpoints: ["https://a:1"], tls: { cert: /c }')).toContain('sources[0].tls: needs cert and key, or neither');
    expect(etcd('endpoints: ["http://a:1"], user: u')).toContain('sources[0]: needs user and passwordFile, or neither');
    expect(etcd('endpoints: ["http://a:1"], grace: 1')).toContain('sources[0].grace');
    expect(problemsOf({ file: 'sources: [{ type: etcd, endpoints: ["http://a:1"] }, { type: etcd, endpoints: ["http://b:1"] }]\n' })).toContain('sources[1].type: is also that of sources[0]');
  });

  it('refuses settings of Egress that cannot be', () => {
    expect(problemsOf({ file: 'egress: { leases: file }\n' })).toContain('egress.directory');
    expect(problemsOf({ file: 'egress: { leases: etcd }\n' })).toMatch(/egress\.leases.*needs a source of type etcd/);
    expect(problemsOf({ file: 'egress: { leases: etcd }\nsources: [{ type: etcd, endpoints: ["http://e:2379"] }]\n' })).toBe('accepted');
    expect(problemsOf({ file: 'egress: { markMask: 0x5 }\n' })).toMatch(/egress\.markMask.*must be bits in a row/);
    expect(problemsOf({ file: 'egress: { markMask: 0xf0 }\n' })).toMatch(/egress\.markMask.*has bits of ids\.returnedMark/);
    expect(problemsOf({ file: 'egress: { exceptCidrs: [10.0.0.1/8] }\n' })).toMatch(/egress\.exceptCidrs/);
  });

  it('refuses settings that contradict each other', () => {
    expect(problemsOf({ file: 'ovs: { firstTable: 100 }\n' })).toContain('ovs.firstTable: needs ovs.nextTable');
    expect(problemsOf({ file: 'ovs: { firstTable: 100, nextTable: 120 }\n' })).toContain('ovs.nextTable: is one of the agent\'s own tables, 100 to');
    expect(load({ file: 'ovs: { firstTable: 100, nextTable: 99 }\n' }).ovs).toMatchObject({ firstTable: 100, nextTable: 99 });
    expect(problemsOf({ argv: ['--ids-bundle', '/b.zip', '--ids-engine', 'external'] })).toContain('ids.bundle: needs ids.engine suricata');
    expect(problemsOf({ argv: ['--ids-bundle', '/b.zip', '--ids-engine', 'external', '--ids-engine-directory', '/d', '--ids-command-socket', '/run/s'] })).toBe('accepted');
    expect(problemsOf({ argv: ['--ids-bundle-checksum', '/b.sha256'] })).toContain('ids.bundleChecksum: is the checksum of nothing');
    expect(problemsOf({ argv: ['--ids-bundle', 'ftp://x/b.zip'] })).toContain('ids.bundle: must be an absolute path, an http:// or https:// URL');
    expect(load({ argv: ['--ids-bundle', 'https://x/b.zip', '--ids-bundle-checksum', 'A'.repeat(64)] }).ids.bundle).toBe('https://x/b.zip');
    expect(problemsOf({ argv: ['--ids-tap', 'x', '--ids-sensor', 'x'] })).toContain('ids.sensor: must not be the device ids.tap names');
    expect(problemsOf({ file: 'sources: [{ type: file, path: /a }, { type: file, path: /a }]\n' })).toContain('sources[1]: is the same as sources[0]');
  });

  it('lets an error of reading the file through as a problem', () => {
    const readFile = (): string => {
      throw new Error('EACCES: permission denied');
    };
    expect(() => loadConfig({ argv: [], env: {}, readFile })).toThrow('cannot be read: EACCES');
  });

  it('never fails otherwise than with E_CONFIG, whatever the file holds', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.constantFrom('api:', '__proto__: {a: 1}', 'a: &a [*a]', '? {a: 1} : b', 'node: ~')), (file) => {
      try {
        load({ file });
      } catch (error) {
        return isAgentError(error, 'E_CONFIG');
      }
      return true;
    }), { numRuns: Number(process.env['DFW_CONFIG_RUNS'] ?? 60) });
  });
});

describe('command line', () => {
  it('knows its commands', () => {
    expect(parseCommandLine([]).command).toBe('run');
    expect(parseCommandLine(['--check-config', '--config', 'x'])).toMatchObject({ command: 'check-config', configFile: 'x', problems: [] });
    expect(parseCommandLine(['-h']).command).toBe('help');
    expect(parseCommandLine(['--version']).command).toBe('version');
  });

  it('wants a value where one is needed and takes a lone boolean as true', () => {
    expect(parseCommandLine(['--state-dir']).problems).toEqual(['--state-dir needs a value']);
    expect(parseCommandLine(['--config']).problems).toEqual(['--config needs a value']);
    expect(load({ argv: ['--ids-enabled'] }).ids.enabled).toBe(true);
    expect(load({ argv: ['--ids-enabled=false'] }).ids.enabled).toBe(false);
  });

  it('names every key in its help', () => {
    for (const { flag, variable } of configKeys()) expect(commandLineHelp()).toMatch(new RegExp(`${flag} +${variable} `));
  });
});

describe('formats', () => {
  it.each([
    ['network', ['10.0.0.0/8', '::/0', '192.0.2.1'], ['10.0.0.0/33', 'x', '10.0.0.0/8/8', '']],
    ['interface-name', ['eth0', 'abcdefghijklmno'], ['', 'abcdefghijklmnop', 'a/b', 'a b', '.', '..', 'äääääääää']],
    ['program', ['suricata', '/usr/bin/suricata'], ['', 'a b', 'bin/suricata']],
    ['ovsdb-target', ['unix:/run/x.sock', 'tcp:[::1]:6640'], ['unix:x', 'tcp:host', 'http://x']],
    ['http-url', ['https://etcd-1:2379'], ['etcd-1:2379', 'file:///x', '']],
  ] as const)('%s', (format, good, bad) => {
    for (const text of good) expect([text, CONFIG_FORMATS[format].accepts(text)]).toEqual([text, true]);
    for (const text of bad) expect([text, CONFIG_FORMATS[format].accepts(text)]).toEqual([text, false]);
  });
});

describe('listen address', () => {
  it.each([
    ['127.0.0.1:9476', { host: '127.0.0.1', port: 9476 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
    ['::1:80', undefined],
    ['host', undefined],
    ['host:65536', undefined],
    [':80', undefined],
  ])('%s', (text, expected) => {
    expect(parseListen(text)).toEqual(expected);
  });
});

it('docs/config.md is current (scripts/gen-config-doc writes it)', () => {
  expect(readFileSync(path.resolve(import.meta.dirname, '../../../docs/config.md'), 'utf8')).toBe(renderConfigDoc());
});
