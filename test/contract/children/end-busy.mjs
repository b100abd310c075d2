/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Arguments: addon, "worker" or "exit". Ends a worker thread, or the process, while sockets are busy and monitors are started.
import { createRequire } from 'node:module';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const [, , addon, how] = process.argv;

function makeBusy() {
  const { NftSocket, NftMonitor, LinkSocket, openTap } = createRequire(import.meta.url)(addon);
  const monitor = new NftMonitor();
  monitor.start(() => undefined);
  const links = new LinkSocket();
  links.monitor(() => undefined);
  openTap({ name: isMainThread ? 'tapm' : 'tapw', vnetHdr: false, persist: false });
  const socket = new NftSocket();
  // Results come when there is nobody left to take them.
  for (let index = 0; index < 200; index++) void socket.dump(1, new Uint8Array(4)).catch(() => undefined);
  for (let index = 0; index < 50; index++) void links.list().catch(() => undefined);
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
