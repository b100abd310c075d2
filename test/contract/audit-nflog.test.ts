import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AuditLog, type AuditLookups, type LoggedRule } from '../../src/drivers/audit/audit-log.js';
import type { NflogPacket } from '../../src/native/binding.js';
import type { Logger } from '../../src/platform/logger.js';
import { Cleanup } from '../support/cleanup.js';
import { eventually, inNetns, mustRun } from '../support/command.js';
import { createWorld, type World } from '../support/netns.js';

const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
const GROUP = 223;
const ADDON = path.resolve(import.meta.dirname, '../../build/Release/dfw.node');

/** Runs in the namespace: prints each batch of NflogReader as a line of JSON. */
const READER = `const { NflogReader } = require(process.argv[1]);
  const reader = new NflogReader({ group: Number(process.argv[2]), copyRange: 256 });
  reader.start((packets) => console.log(JSON.stringify(packets.map((p) => ({ ...p, payload: Buffer.from(p.payload).toString('hex') })))));
  console.log('[]'); process.stdin.on('end', () => { reader.stop(); }).resume();`;

let world: World;
let directory = '';
let audit: AuditLog;
let file = '';
const cleanup = new Cleanup();

function asPackets(line: string): NflogPacket[] {
  const packets = JSON.parse(line) as (Omit<NflogPacket, 'payload'> & { payload: string })[];
  return packets.map((packet) => ({ ...packet, payload: Uint8Array.from(Buffer.from(packet.payload, 'hex')) }));
}

const PREFIX = /^dfw [0-9a-f]{8} (in|out) (accept|drop|reject) (\S+)\/(\d+)$/;
function parsePrefix(prefix: string): LoggedRule | undefined {
  const [, direction, action, table = '', ruleId] = PREFIX.exec(prefix) ?? [];
  if ((direction !== 'in' && direction !== 'out') || (action !== 'accept' && action !== 'drop' && action !== 'reject')) return undefined;
  return { table, ruleId: Number(ruleId), direction, action };
}

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dfw-nflog-'));
  cleanup.defer('directory', () => rm(directory, { recursive: true, force: true }));
  file = path.join(directory, 'dfwpktlogs.log');
  world = await createWorld({ workloads: 2 });
  cleanup.defer('world', () => world.close());
  const target = world.workload(1);
  const index = Number((await world.exec(world.host, 'cat', [`/sys/class/net/${target.interface}/ifindex`])).stdout);
  const ruleset = `table inet audit { chain forward { type filter hook forward priority 0;
    oifname "${target.interface}" meta l4proto { tcp, udp, icmp, ipv6-icmp, 132 } log group ${String(GROUP)} prefix "dfw 00ff00ff in drop domain-c25/1002" snaplen 256 drop
    oifname "${target.interface}" log group ${String(GROUP)} prefix "somebody else";
  }
}
`;
  await mustRun(...inNetns(world.host, 'nft', ['-f', '-']), { input: ruleset });
  const lookups: AuditLookups = {
    parsePrefix, endedRule: () => undefined, filterByName: () => undefined,
    filterByInterface: (direction, _indev, outdev) => (direction === 'in' && outdev === index ? 0xb6507827 : undefined),
  };
  audit = new AuditLog({ path: file, format: 'nsx' }, { lookups, now: () => Date.now(), log: silent, onSuppressed: () => undefined });
  await audit.start();
  cleanup.defer('audit log', () => audit.stop());
  const reader = spawn(...inNetns(world.host, process.execPath, ['-e', READER, ADDON, String(GROUP)]), { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => reader.once('exit', () => resolve()));
  cleanup.defer('reader', async () => {
    reader.stdin.end();
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    reader.once('exit', (code) => reject(new Error(`reader ended with ${String(code)}`)));
    createInterface({ input: reader.stdout }).on('line', (line) => {
      audit.onPackets(asPackets(line));
      resolve();
    });
  });
});

afterAll(() => cleanup.run());

/** Sends one thing from workload 0 and gives the line it left, without its timestamp. */
async function logged(script: string, pattern: RegExp): Promise<string> {
  await world.exec(world.workload(0).netns, '/usr/bin/python3', ['-c', `import socket,struct\n${script}`], { timeoutMs: 10_000 });
  const line = await eventually(`a line like ${String(pattern)}`, async () => (await readFile(file, 'utf8')).split('\n').find((each) => pattern.test(each)));
  expect(Math.abs(Date.parse(line.slice(0, 24)) - Date.now())).toBeLessThan(60_000);
  return line.slice(25);
}

const connect = (family: string, address: string, port: number, from: number): string =>
  `s=socket.socket(socket.${family}); s.bind(('', ${String(from)})); s.settimeout(0.2)\ntry: s.connect(('${address}', ${String(port)}))\nexcept OSError: pass`;

test('packets of the kernel become lines', async () => {
  const [a, b] = [world.workload(0), world.workload(1)];
  const head = 'b6507827 INET match DROP domain-c25/1002 IN';
  expect(await logged(connect('AF_INET', b.ipv4, 22, 40001), / TCP .*\/40001->/)).toBe(`${head} 60 TCP ${a.ipv4}/40001->${b.ipv4}/22 S`);
  expect(await logged(`s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 40002)); s.sendto(b'x'*1000, ('${b.ipv4}', 53))`, / UDP .*\/40002->/)).toBe(
    `${head} 1028 UDP ${a.ipv4}/40002->${b.ipv4}/53`,
  );
  expect(await logged(`s=socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.sendto(bytes([8,0,247,255,0,0,0,0]), ('${b.ipv4}', 0))`, / INET .* ICMP /)).toBe(`${head} 28 ICMP ${a.ipv4}->${b.ipv4}`);
  expect(await logged(`s=socket.socket(socket.AF_INET, socket.SOCK_RAW, 132); s.sendto(struct.pack('!HHII', 5000, 5001, 0, 0), ('${b.ipv4}', 0))`, / PROTO 132 /)).toBe(
    `${head} 32 PROTO 132 ${a.ipv4}/5000->${b.ipv4}/5001`,
  );
  expect(await logged(connect('AF_INET6', b.ipv6, 443, 40003), / INET6 .*\/40003->/)).toBe(`b6507827 INET6 match DROP domain-c25/1002 IN 80 TCP fd10::2/40003->fd10::1:2/443 S`);
});

test('packets that others log to the group are left out and counted', async () => {
  const { ipv4 } = world.workload(1);
  await world.exec(world.workload(0).netns, '/usr/bin/python3', ['-c', `import socket\ns=socket.socket(socket.AF_INET, socket.SOCK_RAW, 47); s.sendto(b'12345678', ('${ipv4}', 0))`]);
  await eventually('the count', () => Promise.resolve(audit.status().foreign === 1 ? true : undefined));
  expect(await readFile(file, 'utf8')).not.toContain('PROTO 47');
});

test('a flood is cut at the rule\'s rate; nothing is counted twice or lost', async () => {
  const { ipv4 } = world.workload(1);
  const before = audit.status();
  const seen = (): number => audit.status().written - before.written + audit.status().suppressed - before.suppressed;
  await world.exec(world.workload(0).netns, '/usr/bin/python3', ['-c', `import socket\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('${ipv4}', 9))\nfor i in range(1000): s.send(b'x')`]);
  await eventually('all packets', () => Promise.resolve(seen() >= 1000 ? true : undefined));
  expect(seen()).toBe(1000);
  expect(audit.status().suppressed).toBeGreaterThan(500);
  expect(audit.status().lost).toBe(0);
});
