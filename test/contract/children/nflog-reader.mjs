// An NflogReader in the network namespace that this process was started in (test/support/probe/line-process.ts).
// First line in: {"addon": path, "options": {...}}; then {"id", "do": "start" | "packets" | "lost" | "stop" | "block" | "second"}.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const packets = [];
let Reader;
let options;
let reader;

const verbs = {
  start: () => reader.start((batch) => packets.push(...batch.map((packet) => ({ ...packet, payload: [...packet.payload], link: [...packet.link] })))),
  packets: () => packets.splice(0),
  lost: () => reader.lost(),
  stop: () => reader.stop(),
  /** The event loop stands still for a while: nothing is read. */
  block: ({ milliseconds }) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds),
  /** A second reader of the same group. */
  second: () => new Reader(options).start(() => undefined),
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (reader === undefined) {
    Reader = createRequire(import.meta.url)(message.addon).NflogReader;
    options = message.options;
    reader = new Reader(options);
    say({ ready: true });
    continue;
  }
  try {
    say({ id: message.id, result: verbs[message.do](message) ?? null });
  } catch (error) {
    say({ id: message.id, result: null, error: { code: error.code, errno: error.errno, syscall: error.syscall } });
  }
}
