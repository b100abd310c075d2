// A FlowTable in the network namespace that this process was started in, driven line by line (test/support/probe/line-process.ts).
// First line in: {"addon": path, "options": FlowTableOptions}; then {"id", "call": method, "arguments": [...]}. Uint32Arrays travel as {"u32": [...]}, Uint8Arrays as {"u8": [...]}.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const say = (message) => process.stdout.write(`${JSON.stringify(message, (_key, value) => encode(value))}\n`);

function encode(value) {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Uint32Array || value instanceof BigUint64Array) return Array.from(value, Number);
  return value;
}

function decode(value) {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(decode);
  if (Array.isArray(value.u32)) return new Uint32Array(value.u32);
  if (Array.isArray(value.u8)) return new Uint8Array(value.u8);
  if (Array.isArray(value.f64)) return new Float64Array(value.f64);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)]));
}

let table;
let streamFlows;
const ended = [];

/** What the table cannot say by itself: chunks collected at a pace, ended flows gathered, waiting for a count. */
const verbs = {
  async stream(query, format, pace) {
    const chunks = [];
    let waiting = 0;
    let mostWaiting = 0;
    const count = await table.stream(query, format, async (chunk) => {
      chunks.push(chunk);
      waiting += 1;
      mostWaiting = Math.max(mostWaiting, waiting);
      if (pace?.failAt === chunks.length) throw new Error('the reader has gone');
      await sleep(pace?.delayMs ?? 0);
      waiting -= 1;
    });
    return { count, text: Buffer.concat(chunks).toString(), chunks: chunks.length, largest: Math.max(0, ...chunks.map((chunk) => chunk.length)), mostWaiting };
  },
  async streamFlows(flows, query, format) {
    const chunks = [];
    const count = await streamFlows(flows, query, format, (chunk) => void chunks.push(chunk));
    return { count, text: Buffer.concat(chunks).toString() };
  },
  watchEnds: (ids) => table.watchEnds(ids, (flows) => ended.push(...flows)),
  ended: () => ended.splice(0),
  async exitDuringStream(query, format) {
    // No stop(), a stream half way, a listener registered: the process must end by itself all the same.
    void table.stream(query, format, () => process.exit(0));
    await sleep(10_000);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (table === undefined) {
    const addon = createRequire(import.meta.url)(message.addon);
    const { FlowTable } = addon;
    streamFlows = addon.streamFlows;
    table = new FlowTable(decode(message.options));
    say({ ready: true });
    continue;
  }
  const parameters = decode(message.arguments);
  const run = async () => (Object.hasOwn(verbs, message.call) ? verbs[message.call](...parameters) : table[message.call](...parameters));
  run().then(
    (result) => say({ id: message.id, result: result ?? null }),
    (error) => say({ id: message.id, result: null, error: { message: error.message, code: error.code, errno: error.errno, syscall: error.syscall } }),
  );
}
table?.stop();
