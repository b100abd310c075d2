/** The process of agentctl; with main.ts the only file that touches `process`. No logic. */
import { runCli } from './cli/cli.js';

const interrupted = new AbortController();
// The first signal ends streams and lets what is printed be complete; the second ends the process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

// No top-level await: scripts/bundle-agentctl makes this a CommonJS script, the only kind whose compiled code Node 20 can keep.
void runCli({
  argv: process.argv.slice(2),
  environment: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  // Loaded only with --etcd, and not part of the bundle: bin/agentctl runs this file then.
  openManager: async (choice, signal) => (await import('./app/etcd-manager.js')).openEtcdManager(choice, signal),
  interrupted: interrupted.signal,
}).then((code) => {
  process.exitCode = code;
});
