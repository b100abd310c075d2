/**
 * A measurement runs in a process of its own that has fresh network, mount and process namespaces: nothing it makes is seen
 * outside, and all of it ends with the process, however that ends.
 */
import { fileURLToPath } from 'node:url';
import { command } from './command.js';

/** The first argument makes the sandbox end with this process even when that is killed. */
const SANDBOX = ['--pdeathsig', 'KILL', 'unshare', '--net', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];

/**
 * Runs an inside program (bench/inside/NAME.ts) with one JSON argument; what it printed as its last line is the answer.
 * Rejects with its error output when it fails or takes longer than `timeoutMs`.
 */
export async function inSandbox(name: string, request: unknown, options: { readonly nodeOptions?: readonly string[]; readonly timeoutMs?: number } = {}): Promise<unknown> {
  const program = fileURLToPath(new URL(`../inside/${name}.js`, import.meta.url));
  const result = await command('setpriv', [...SANDBOX, process.execPath, ...(options.nodeOptions ?? []), program, JSON.stringify(request)], {
    timeoutMs: options.timeoutMs ?? 300_000,
  });
  if (result.code !== 0) throw new Error(`${name}: exit ${result.code ?? 'by signal or timeout'}\n${result.stderr.slice(-4000)}`);
  const last = result.stdout.trimEnd().split('\n').at(-1) ?? '';
  return JSON.parse(last);
}
