/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Runs inside a network namespace, loads the addon given as argument and does what test/contract/native-host.ts tells it over
// the IPC channel. Calls are begun in the order they come in, so that tests can have several under way at once.
import { createRequire } from 'node:module';
import process from 'node:process';

const binding = createRequire(import.meta.url)(process.argv[2]);
const objects = new Map();

const describe = (error) => ({ message: error.message, code: error.code, errno: error.errno, syscall: error.syscall });

// A listener cannot cross the channel: the parent sends its number.
const materialize = (argument) =>
  typeof argument === 'object' && argument !== null && 'listener' in argument
    ? (...values) => process.connected && process.send({ listener: argument.listener, values })
    : argument;

// Synchronous up to the addon's promise: requests that came in one message are begun without anything in between.
function begin(request) {
  const values = request.arguments.map(materialize);
  switch (request.kind) {
    case 'new':
      objects.set(request.object, new binding[request.member](...values));
      return undefined;
    case 'call': {
      const target = request.object === 0 ? binding : objects.get(request.object);
      return target[request.member](...values);
    }
    case 'release':
      // Everything dropped and no channel: the process must end by itself, whatever is still subscribed.
      process.disconnect();
      return undefined;
    default:
      throw new Error(`unknown request ${request.kind}`);
  }
}

process.on('message', (requests) => {
  for (const request of requests) {
    new Promise((resolve) => resolve(begin(request))).then(
      (value) => process.connected && process.send({ id: request.id, value }),
      (error) => process.connected && process.send({ id: request.id, error: describe(error) }),
    );
  }
});
process.send({ ready: true });
