/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Runs inside the network namespace of a database. Arguments: modules of client and clock, endpoint, then authority, certificate and key files for "ssl:".
// Prints what the database's root row said before a write and what came of it, or why there was no connection within 3 s.
import { readFileSync } from 'node:fs';
import process from 'node:process';

const [, , module, platform, endpoint, authority, certificate, privateKey] = process.argv;
const { OvsdbClient } = await import(module);
const { systemClock: clock } = await import(platform);
const reasons = [];
const log = { error() {}, info() {}, debug() {}, warn: (event, keys) => reasons.push(keys.error), child: () => log };
const client = new OvsdbClient({
  endpoint, database: 'Open_vSwitch', selection: { Open_vSwitch: ['external_ids'] }, log, listener: {}, random: Math.random, clock,
  ...(authority === undefined ? {} : { tls: { authority: readFileSync(authority, 'utf8'), certificate: readFileSync(certificate, 'utf8'), privateKey: readFileSync(privateKey, 'utf8') } }),
});
client.start(new AbortController().signal);
try {
  await client.ready(AbortSignal.timeout(3_000));
  const before = [...client.replica.table('Open_vSwitch').values()].map((row) => [...row.get('external_ids')]);
  const results = await client.transact([{ op: 'update', table: 'Open_vSwitch', where: [], row: { external_ids: ['map', [['via', endpoint]]] } }]);
  process.stdout.write(JSON.stringify({ before, results }));
} catch {
  process.stdout.write(JSON.stringify({ reason: reasons[0] }));
}
await client.stop();
