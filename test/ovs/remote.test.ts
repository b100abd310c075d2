/** The database over TCP and TLS: server and client in a namespace of their own. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cleanup } from '../support/cleanup.js';
import { eventually, mustRun } from '../support/command.js';
import { Namespaces } from '../support/namespaces.js';

const CHILD = fileURLToPath(new URL('children/ovsdb-connect.mjs', import.meta.url));
const MODULES = ['drivers/ovs/ovsdb/client.js', 'platform/clock.js'].map((module) => fileURLToPath(new URL(`../../dist/${module}`, import.meta.url)));

describe('a database on another machine', () => {
  const cleanup = new Cleanup();
  let directory = '';
  let netns = '';
  const file = (name: string): string => path.join(directory, name);

  beforeAll(async () => {
    const namespaces = new Namespaces(cleanup);
    netns = `${namespaces.base}-h`;
    await namespaces.add([netns]);
    await mustRun('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
    directory = await mkdtemp(path.join(tmpdir(), 'dfwt-db-'));
    cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
    for (const authority of ['ours', 'theirs']) await mustRun('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${authority}`, '-days', '2', '-keyout', file(`${authority}.key`), '-out', file(`${authority}.pem`)]);
    for (const [name, authority] of [['server', 'ours'], ['agent', 'ours'], ['stranger', 'theirs']] as const) {
      await mustRun('openssl', ['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`)]);
      await mustRun('openssl', ['x509', '-req', '-in', file(`${name}.csr`), '-CA', file(`${authority}.pem`), '-CAkey', file(`${authority}.key`), '-CAcreateserial', '-days', '2', '-out', file(`${name}.pem`)]);
    }
    await mustRun('ovsdb-tool', ['create', file('conf.db'), '/usr/share/openvswitch/vswitch.ovsschema']);
    await mustRun('ovsdb-tool', ['transact', file('conf.db'), '["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":{}}]']);
    const server = spawn('ip', [
      'netns', 'exec', netns, 'ovsdb-server', file('conf.db'), `--remote=punix:${file('db.sock')}`, '--remote=ptcp:6640:127.0.0.1', '--remote=pssl:6641:[::1]', `--unixctl=${file('ctl')}`,
      `--private-key=${file('server.key')}`, `--certificate=${file('server.pem')}`, `--ca-cert=${file('ours.pem')}`, '-vconsole:off',
    ], { stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
    cleanup.defer('server', async () => {
      server.kill('SIGKILL');
      await ended;
    });
    await eventually('the database', async () => ((await mustRun('ovsdb-client', ['--timeout=2', '-vconsole:off', 'list-dbs', `unix:${file('db.sock')}`])).includes('Open_vSwitch') ? true : undefined));
  }, 60_000);
  afterAll(() => cleanup.run());

  interface Report { readonly before?: unknown; readonly results?: unknown; readonly reason?: string }
  const connect = async (endpoint: string, ...material: readonly string[]): Promise<Report> =>
    JSON.parse(await mustRun('ip', ['netns', 'exec', netns, process.execPath, CHILD, ...MODULES, endpoint, ...material.map(file)])) as Report;

  it('is read and written over TCP', async () => {
    expect(await connect('tcp:127.0.0.1:6640')).toEqual({ before: [[]], results: [{ count: 1 }] });
  });

  it('is read and written over TLS, by who has a certificate of the authority', async () => {
    expect(await connect('ssl:[::1]:6641', 'ours.pem', 'agent.pem', 'agent.key')).toEqual({ before: [[['via', 'tcp:127.0.0.1:6640']]], results: [{ count: 1 }] });
  });

  it('is refused when it shows a certificate of another authority, and refuses clients that do', async () => {
    const stranger = await connect('ssl:[::1]:6641', 'theirs.pem', 'agent.pem', 'agent.key');
    expect([stranger.results, stranger.reason]).toEqual([undefined, expect.stringMatching(/no connection \((DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_|SELF_SIGNED_)/)]);
    const refused = await connect('ssl:[::1]:6641', 'ours.pem', 'stranger.pem', 'stranger.key');
    expect([refused.results, refused.reason]).toEqual([undefined, expect.stringMatching(/the connection (was closed|broke)/)]);
  });
});
