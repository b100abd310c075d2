/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Arguments: addon, rounds. In a namespace whose lo is up, with --expose-gc: captures begin and end in every order there is while
// packets come, garbage is collected and the loop gets other handles. Prints what is left open, and how many packets came.
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , addon, rounds] = process.argv;
const { PacketCapture } = createRequire(import.meta.url)(addon);
const ring = () => readFileSync('/proc/self/net/packet', 'utf8').trim().split('\n').length - 1;
const descriptors = () => readdirSync('/proc/self/fd').length;
const sender = createSocket('udp4');
await new Promise((resolve) => sender.bind(0, '127.0.0.1', resolve));
const packet = () => new Promise((resolve) => sender.send('x', 9, '127.0.0.1', resolve));
const open = (filter = '') => new PacketCapture({ interface: 'lo', snaplen: 262_144, filter });

let packets = 0;
const count = (records, number) => {
  packets += number;
};

const ends = [
  // With a packet that nobody takes any more, and without one.
  async () => {
    const source = open();
    await source.start(count);
    await packet();
    await sleep(15);
    source.stop();
    await packet();
  },
  async () => {
    const source = open('udp');
    await source.start(count);
    source.stop();
  },
  // While it is being opened; and begun again at once.
  async () => {
    const source = open();
    const first = source.start(count).catch((error) => error.code);
    source.stop();
    source.stop();
    const second = source.start(count);
    if ((await first) !== 'ECANCELED') throw new Error('a stopped start has to fail');
    await second;
    source.stop();
  },
  // By its own listener, which begins another.
  async () => {
    const source = open();
    const again = new Promise((resolve, reject) => {
      void source.start(() => {
        source.stop();
        globalThis.gc();
        source.start(count).then(resolve, reject);
      }).then(packet, reject);
    });
    await again;
    source.stop();
  },
  // Refused.
  async () => {
    const code = await open('nonsense (').start(count).catch((error) => error.code);
    if (code !== 'EINVAL') throw new Error(`a wrong expression gives ${code}`);
  },
  // Four at a time.
  async () => {
    const sources = [open(), open('udp'), open('tcp'), open()];
    await Promise.all(sources.map((source) => source.start(count)));
    await packet();
    await sleep(15);
    for (const source of sources) source.stop();
  },
];

const before = descriptors();
for (let round = 0; round < Number(rounds); round++) {
  for (const end of ends) {
    await end();
    globalThis.gc();
    await sleep(1);
    // A handle that the loop links to its neighbours, one of which may be of a capture.
    const other = createSocket('udp4');
    await new Promise((resolve) => other.bind(0, '127.0.0.1', resolve));
    await new Promise((resolve) => other.close(resolve));
  }
}
// Closing goes on in the background.
for (let wait = 0; wait < 200 && (ring() > 0 || descriptors() > before); wait++) await sleep(10);
process.stdout.write(`${JSON.stringify({ packets, sockets: ring(), descriptors: descriptors() - before })}\n`);
// One that nobody stops keeps the process no longer than it wants to live.
await open().start(count);
sender.close();
