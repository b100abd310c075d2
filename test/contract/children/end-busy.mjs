/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Arguments: addon, "worker" or "exit". Ends a worker thread, or the process, while sockets are busy and monitors are started.
import { createRequire } from 'node:module';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const [, , addon, how] = process.argv;
const COUNT = 20_000;

function makeBusy() {
  const { FlowTable, LinkSocket, NflogReader, NftMonitor, NftSocket, openTap, PacketCapture, streamFlows } = createRequire(import.meta.url)(addon);
  const monitor = new NftMonitor();
  monitor.start(() => undefined);
  const links = new LinkSocket();
  links.monitor(() => undefined);
  openTap({ name: isMainThread ? 'tapm' : 'tapw', vnetHdr: false, persist: false });
  const socket = new NftSocket();
  // Results come when there is nobody left to take them.
  for (let index = 0; index < 200; index++) void socket.dump(1, new Uint8Array(4)).catch(() => undefined);
  for (let index = 0; index < 50; index++) void links.list().catch(() => undefined);
  new NflogReader({ group: 9, copyRange: 64 }).start(() => undefined);
  const flows = new FlowTable({ notApplicableIds: new Uint32Array(0) });
  flows.watchEnds(Uint32Array.of(1), () => undefined);
  void flows.start().catch(() => undefined);
  const format = { kind: 'text', labelIds: Uint32Array.of(1), ruleIds: Uint32Array.of(1) };
  // As PACKED_FLOW of src/native/binding.ts says: TCP from 10.0.0.1 over IPv4, admitted by label 1.
  const words = new Uint32Array(COUNT * 20);
  for (let at = 0; at < words.length; at += 20) {
    words[at] = 0x0a000001;
    words[at + 13] = (6 << 8) | 4;
    words[at + 15] = 1;
  }
  for (let index = 0; index < 20; index++) {
    void flows.ruleTotals().catch(() => undefined);
    void flows.query({}).catch(() => undefined);
    // Chunk after chunk comes from a thread.
    void streamFlows({ count: COUNT, words }, {}, format, () => undefined).catch(() => undefined);
    void new PacketCapture({ interface: 'lo', snaplen: 100 }).start(() => undefined).catch(() => undefined);
  }
}

if (!isMainThread) {
  makeBusy();
  parentPort.postMessage('busy');
} else if (how === 'worker') {
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: [addon, how] });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    if (round > 0) await sleep(round - 1);
    await worker.terminate();
  }
  process.stdout.write('ended\n');
} else {
  makeBusy();
  process.exit(0);
}
