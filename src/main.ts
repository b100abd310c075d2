/** The process of the daemon: arguments, environment, signals, exit code. With ctl.ts and engine-alive.ts the only file that touches `process`. */
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Agent } from './app/agent.js';
import { commandLineHelp, parseCommandLine } from './app/command-line.js';
import { loadConfig, type Config } from './app/config.js';
import { describeError, isAgentError } from './model/errors.js';
import { loadNative } from './native/load.js';
import { systemClock } from './platform/clock.js';
import { V8Heap } from './platform/heap.js';
import { PinoLogger } from './platform/pino-logger.js';
import { readTextFile } from './platform/read-file.js';
import { ServiceNotifier } from './platform/sd-notify.js';

const INSTALL_DIR = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Stopping must not hang: what is enforced stays so anyway. */
const STOP_DEADLINE_MS = 10_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const argv = process.argv.slice(2);
  const version = packageVersion();
  const { command } = parseCommandLine(argv);
  if (command === 'help') {
    process.stdout.write(commandLineHelp());
    return 0;
  }
  if (command === 'version') {
    process.stdout.write(`dfw-agent ${version}\n`);
    return 0;
  }
  let config: Config;
  try {
    config = readConfig(argv);
  } catch (error) {
    process.stderr.write(`dfw-agent: ${describeError(error)}\n`);
    return 2;
  }
  if (command === 'check-config') {
    process.stdout.write('the configuration is good\n');
    return 0;
  }
  return daemon(argv, config, version);
}

async function daemon(argv: readonly string[], first: Config, version: string): Promise<number> {
  const log = PinoLogger.create({ level: first.log.level, component: 'agent' });
  let requests: ('stop' | 'reload')[] = [];
  let wake = (): void => undefined;
  let agent: Agent | undefined;
  const request = (what: 'stop' | 'reload'): void => {
    if (what === 'stop' && requests.includes('stop')) process.exit(1);
    requests.push(what);
    wake();
  };
  process.on('SIGTERM', () => request('stop'));
  process.on('SIGINT', () => request('stop'));
  process.on('SIGHUP', () => request('reload'));
  process.on('SIGUSR1', () => agent?.reopenLogs());

  /** Stop, or a good new configuration: a bad one is said and changes nothing. Rejects when starting fails. */
  const nextRequest = async (started: Promise<void>): Promise<Config | 'stop'> => {
    for (;;) {
      const asked = new Promise<void>((resolve) => {
        wake = resolve;
        if (requests.length > 0) resolve();
      });
      await Promise.race([asked, started.then(() => asked)]);
      if (requests.includes('stop')) return 'stop';
      requests = [];
      const fresh = reread(argv, log);
      if (fresh !== undefined) return fresh;
    }
  };

  let config = first;
  try {
    const native = loadNative();
    const notifier = new ServiceNotifier({
      socket: process.env['NOTIFY_SOCKET'], watchdogMicroseconds: process.env['WATCHDOG_USEC'], clock: systemClock,
      send: (socket, state) => native.sdNotify(socket, state),
      onError: (error) => log.warn('notify.failed', { error: describeError(error) }),
    });
    const heap = new V8Heap(process.execArgv.includes('--optimize-for-size'));
    for (;;) {
      agent = new Agent(config, {
        native, clock: systemClock, log, notifier, heap, version, installDir: INSTALL_DIR, searchPath: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
        processId: process.pid,
        sendSignal: (pid, signal) => process.kill(pid, signal),
        setPriority: (pid, nice) => setPriority(pid, nice),
        setLogLevel: (level) => log.setLevel(level),
      });
      agent.onCleanup = () => request('stop');
      log.info('agent.starting', { version, node: config.node, pid: process.pid });
      const running = agent;
      const started = running.start();
      const next = await nextRequest(started);
      if (next !== 'stop') {
        notifier.reloading();
        config = next;
      }
      log.info('agent.stopping', { reason: next === 'stop' ? 'stop' : 'reload' });
      const deadline = setTimeout(() => process.exit(1), STOP_DEADLINE_MS);
      await running.stop();
      clearTimeout(deadline);
      if (next === 'stop') {
        log.info('agent.stopped');
        log.flush();
        return 0;
      }
    }
  } catch (error) {
    log.error('agent.failed', { error: describeError(error), code: isAgentError(error) ? error.code : undefined });
    log.flush();
    process.exit(1);
  }
}

function readConfig(argv: readonly string[]): Config {
  return loadConfig({ argv, env: process.env, readFile: readTextFile });
}

function reread(argv: readonly string[], log: PinoLogger): Config | undefined {
  try {
    return readConfig(argv);
  } catch (error) {
    log.error('config.refused', { error: describeError(error) });
    return undefined;
  }
}

function packageVersion(): string {
  const parsed: unknown = JSON.parse(readTextFile(join(INSTALL_DIR, 'package.json')) ?? '{}');
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed && typeof parsed.version === 'string' ? parsed.version : 'unknown';
}
