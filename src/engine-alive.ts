/** `dfw-engine --alive SOCKET`, the liveness probe of an engine in a container of its own: exit status 1 where it hangs. */
import { createConnection } from 'node:net';
import { suricataCommand } from './drivers/ids/command-socket.js';

const ANSWER_MS = 3_000;

process.exitCode = await main(process.argv[2] ?? '');

/** Where nobody listens, there is nothing to end: it waits for the agent, or compiles its signatures. */
async function main(socket: string): Promise<number> {
  if (!(await listens(socket))) return 0;
  try {
    await suricataCommand(socket, 'uptime', { timeoutMs: ANSWER_MS });
    return 0;
  } catch (error) {
    // Ended meanwhile: whoever started it sees that.
    if (!(await listens(socket))) return 0;
    process.stderr.write(`${String(error)}\n`);
    return 1;
  }
}

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}
