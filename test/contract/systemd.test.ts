import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderSuricataConfig } from '../../src/drivers/ids/suricata-config.js';
import { addonPath } from './native-host.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const run = promisify(execFile);
const UNITS = ['dfw-agent.service', 'dfw-suricata.service'];

/** Values of a key, in order; a line that ends with a backslash goes on. */
async function valuesOf(unit: string, key: string): Promise<string[]> {
  const text = (await readFile(path.join(ROOT, 'systemd', unit), 'utf8')).replaceAll('\\\n', ' ');
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map((match) => (match[1] ?? '').trim());
}

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dfw-systemd-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('unit files', () => {
  it('pass systemd-analyze verify without a word', async () => {
    // The units name the installed place; verify wants to see the program.
    const files = await Promise.all(UNITS.map(async (unit) => {
      const text = await readFile(path.join(ROOT, 'systemd', unit), 'utf8');
      const file = path.join(folder, unit);
      await writeFile(file, text.replaceAll('/usr/lib/dfw-agent/bin/', `${path.join(ROOT, 'bin')}/`));
      return file;
    }));
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', ...files]);
    expect(stdout + stderr).toBe('');
  });

  it('would be noticed if they were wrong', async () => {
    const file = path.join(folder, 'wrong.service');
    await writeFile(file, '[Service]\nExecStart=/usr/lib/dfw-agent/no-such-program\nNoSuchKey=1\n');
    const output = await run('systemd-analyze', ['verify', '--man=no', file]).then(({ stdout, stderr }) => stdout + stderr, (error: { stderr: string }) => error.stderr);
    expect(output).toContain('NoSuchKey');
    expect(output).toContain('no-such-program');
  });

  it.each(UNITS)('%s has the capabilities that it needs and no way to more', async (unit) => {
    const expected = unit === 'dfw-agent.service' ? 'CAP_NET_ADMIN CAP_NET_RAW CAP_BPF' : 'CAP_NET_ADMIN CAP_NET_RAW';
    for (const key of ['CapabilityBoundingSet', 'AmbientCapabilities']) expect(await valuesOf(unit, key)).toEqual([expected]);
    expect(await valuesOf(unit, 'NoNewPrivileges')).toEqual(['yes']);
    expect(await valuesOf(unit, 'ProtectSystem')).toEqual(['strict']);
    expect(await valuesOf(unit, 'RestrictAddressFamilies')).toEqual(['AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6']);
  });

  it('keep the engine out of the group that may use the API', async () => {
    expect(await valuesOf('dfw-suricata.service', 'Group')).toEqual(['dfw-suricata']);
    expect(await valuesOf('dfw-suricata.service', 'SupplementaryGroups')).toEqual([]);
  });

  it('create the accounts and directories they name', async () => {
    const image = path.join(folder, 'image');
    await mkdir(path.join(image, 'etc'), { recursive: true });
    await run('systemd-sysusers', [`--root=${image}`, path.join(ROOT, 'systemd/sysusers.d/dfw-agent.conf')]);
    const groups = await readFile(path.join(image, 'etc/group'), 'utf8');
    expect(groups).toMatch(/^dfw:x:\d+:$/m);
    expect(groups).toMatch(/^dfw-suricata:x:\d+:$/m);
    await run('systemd-tmpfiles', ['--create', `--root=${image}`, path.join(ROOT, 'systemd/tmpfiles.d/dfw-agent.conf')]);
    expect((await stat(path.join(image, 'etc/dfw-agent/manifests'))).mode & 0o777).toBe(0o755);
  });
});

/** What the unit's account (root with three capabilities, in group dfw) can and cannot do; gid 4223 stands for dfw. */
describe('the account of dfw-agent.service', () => {
  async function asService(script: string): Promise<string> {
    const three = '-all,+net_admin,+net_raw,+bpf';
    const { stdout } = await run('unshare', ['--net', 'setpriv', '--groups', '4223', '--bounding-set', three, '--inh-caps', three, '--ambient-caps', three, '--no-new-privs', 'sh', '-c', script]);
    return stdout.trim();
  }

  it('may switch connection accounting on', async () => {
    const file = '/proc/sys/net/netfilter/nf_conntrack_acct';
    expect(await asService(`echo 0 >${file}; echo 1 >${file}; cat ${file}`)).toBe('1');
  });

  it('may give its socket to group dfw, and to no other', async () => {
    const file = path.join(folder, 'agent.sock');
    expect(await asService(`: >${file}; chgrp 4223 ${file} && stat -c %u:%g ${file}; chgrp 4224 ${file} 2>/dev/null || echo refused`)).toBe('0:4223\nrefused');
  });

  it('may make its socket though all but its own directories is read-only, as in a container', async () => {
    const place = await mkdtemp(path.join(folder, 'runtime-'));
    const own = path.join(place, 'dfw-agent');
    await mkdir(own);
    const listen = `import('${ROOT}/dist/api/socket.js').then(({ listenOn }) => listenOn(require('net').createServer(), '${own}/agent.sock', undefined)).then(() => process.exit(), (error) => { console.log(error.message); process.exit(1); })`;
    await run('unshare', ['--mount', 'sh', '-ec', `mount --bind ${place} ${place}; mount --bind ${own} ${own}; mount -o remount,ro,bind ${place}; exec ${process.execPath} -e "$1"`, 'sh', listen]);
    expect((await readdir(place)).join()).toBe('dfw-agent');
    expect((await stat(path.join(own, 'agent.sock'))).mode & 0o777).toBe(0o600);
    expect(await readdir(own)).toEqual(['agent.sock']);
  });

  it('may change links and rules of the network', async () => {
    expect(await asService('ip link add d0 type veth peer name d1 && nft add table inet t && nft list tables')).toBe('table inet t');
  });

  it('may set the way back of redirected traffic', async () => {
    const script = "new (require(process.argv[1]).ReturnPaths)().set(1, { mark: 64, entries: new Uint8Array() }).then((id) => console.log(id > 0), console.log)";
    expect(await asService(`${process.execPath} -e '${script}' ${addonPath()}`)).toBe('true');
  });

  it('is an ordinary reader of what is not its own', async () => {
    const file = path.join(folder, 'private');
    await writeFile(file, 'secret', { mode: 0o600 });
    await run('chown', ['65534', file]);
    expect(await asService(`cat ${file} 2>/dev/null || echo refused`)).toBe('refused');
  });
});

/** Together: the agent's account writes and connects, the engine's (an ordinary user in group dfw-suricata; gid 4223 stands for it) reads, listens and logs. */
describe('the account of dfw-suricata.service', () => {
  it('runs Suricata with what the agent\'s account wrote, which reaches its socket and renames its log', async () => {
    const [state, runtime, logs] = ['state', 'run', 'log'].map((name) => path.join(folder, name)) as [string, string, string];
    for (const [directory, owner, mode] of [[state, '0:4223', '2750'], [runtime, '65534:4223', '0755'], [logs, '65534:4223', '0770']] as const) {
      await mkdir(directory);
      await run('chown', [owner, directory]);
      await run('chmod', [mode, directory]);
    }
    await run('chmod', ['0755', folder]);
    const config = path.join(folder, 'rendered.yaml');
    await writeFile(config, renderSuricataConfig({
      sensor: 'lo', clusterId: 1, logDirectory: logs, eveFile: path.join(logs, 'eve.json'), commandSocket: path.join(runtime, 'command.socket'),
      ruleFiles: [path.join(state, 'signatures/own.rules')], homeNetworks: [], statsInterval: 60,
    }));
    const two = '-all,+net_admin,+net_raw';
    const privileges = `--bounding-set ${two} --inh-caps ${two} --ambient-caps ${two} --no-new-privs`;
    // Version, then a command: what the agent asks first.
    const ask = `const s = require('net').connect('${runtime}/command.socket', () => s.write('{"version":"0.2"}\\n')); let n = 0; s.setEncoding('utf8');
      s.on('data', (d) => { n += 1; if (n === 1) s.write('{"command":"ruleset-stats"}\\n'); else { console.log(d.trim()); s.destroy(); } }); s.on('error', (e) => { console.log(e.code); process.exit(1); });`;
    await writeFile(path.join(folder, 'ask.cjs'), ask);
    const agent = `umask 0027; mkdir ${state}/signatures && cp ${ROOT}/deploy/signatures/dfw-test.rules ${state}/signatures/own.rules && cp ${config} ${state}/suricata.yaml`;
    const later = `i=0; until ${process.execPath} ${folder}/ask.cjs >${folder}/answer 2>&1; do i=$((i+1)); [ $i -lt 100 ] || break; sleep 0.1; done; cat ${folder}/answer; mv ${logs}/eve.json ${logs}/eve.json.1 && echo renamed`;
    const { stdout } = await run('unshare', ['--net', 'sh', '-c', `ip link set lo up
      setpriv --groups 4223 ${privileges} sh -c '${agent}' || exit 1
      RUNTIME_DIRECTORY=${runtime} setpriv --reuid 65534 --regid 4223 --clear-groups ${privileges} sh -c 'umask 0027; exec ${ROOT}/bin/dfw-engine ${state}' >${folder}/engine.log 2>&1 & engine=$!
      setpriv --groups 4223 ${privileges} sh -c '${later}'; kill -9 $engine; wait $engine; stat -c '%U %a' ${runtime}/command.socket; tail -n 5 ${folder}/engine.log`]);
    expect(stdout).toContain('"rules_loaded":1');
    expect(stdout).toContain('renamed');
  });
});
