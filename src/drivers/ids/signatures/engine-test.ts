import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../../../model/errors.js';
import type { SignatureFaultView } from '../../../model/views.js';
import type { Clock } from '../../../platform/clock.js';
import type { EngineRules } from '../engine-config.js';
import type { ProcessRunner } from '../process-runner.js';
import { renderSuricataConfig, type SuricataSettings } from '../suricata-config.js';
import { placedFaults } from './fault-places.js';
import { TestOutput } from './test-output.js';

export interface EngineTestOptions {
  /** Executable of the engine. */
  readonly program: string;
  /** As the engine in force has them; rule files, tables and places of output are replaced. */
  readonly settings: SuricataSettings;
  /** Directory of the test's own, made and removed with each test. */
  readonly scratch: string;
  /** A test that takes longer is ended, ms. */
  readonly timeoutMs: number;
  /** Address space of the test, bytes. */
  readonly memory: number;
}
export interface TestResult {
  /** True when the engine takes all of it. */
  readonly passed: boolean;
  readonly loaded: number;
  /** Signatures that the engine refuses. */
  readonly failed: number;
  /** Signatures that ask for another version or a feature of the engine (`requires`): passed over by intent. */
  readonly skipped: number;
  /** The refused ones; `file` is the path that was tested, '' with line 0 where the engine's message did not say it. */
  readonly faults: readonly SignatureFaultView[];
  /** Why it did not pass where no signature is at fault; '' else. */
  readonly reason: string;
}

/** Loads signatures in a process of its own, as the engine would, and tells what came of it. */
export class EngineTest {
  constructor(private readonly options: EngineTestOptions, private readonly dependencies: { readonly runner: ProcessRunner; readonly clock: Clock }) {}

  /** One at a time. Rejects with E_CANCELLED when the signal fires, E_IO when the scratch directory cannot be made; the engine's faults are in the result. */
  async run(files: EngineRules, signal: AbortSignal): Promise<TestResult> {
    const { scratch } = this.options;
    try {
      await rm(scratch, { recursive: true, force: true });
      await mkdir(scratch, { recursive: true, mode: 0o750 });
      await writeFile(join(scratch, 'suricata.yaml'), this.#config(files), { mode: 0o640 });
      const { output, ...result } = await this.#load(signal);
      return { ...result, faults: await placedFaults(output, files.ruleFiles) };
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  async #load(signal: AbortSignal): Promise<Omit<TestResult, 'faults'> & { readonly output: TestOutput }> {
    const { program, scratch, timeoutMs, memory } = this.options;
    if (signal.aborted) throw cancelled();
    const output = new TestOutput();
    const engine = [program, '-T', '-v', '-c', join(scratch, 'suricata.yaml'), '-l', scratch];
    // prlimit and nice become the engine: what is killed is the engine. It may not take the processor from the one that inspects.
    const child = this.dependencies.runner.spawn('prlimit', [`--as=${String(memory)}`, '--core=0', 'nice', '-n', '19', ...engine], (line) => output.line(line));
    let late = false;
    const end = (): void => void child.kill('SIGKILL');
    const cancelTimer = this.dependencies.clock.after(timeoutMs, () => {
      late = true;
      end();
    });
    signal.addEventListener('abort', end, { once: true });
    const exit = await child.exited;
    cancelTimer();
    signal.removeEventListener('abort', end);
    if (signal.aborted) throw cancelled();
    const counts = { loaded: output.loaded, failed: output.failed, skipped: output.skipped, output };
    if (exit.code === 0 && output.failed === 0) return { ...counts, passed: true, reason: '' };
    return { ...counts, passed: false, reason: output.failed > 0 ? '' : reasonOf(exit, late ? timeoutMs : 0, output.cause, program) };
  }

  #config({ ruleFiles, classificationFile, referenceFile }: EngineRules): string {
    const { settings, scratch } = this.options;
    const { classificationFile: _classification, referenceFile: _reference, ...rest } = settings;
    return renderSuricataConfig({
      ...rest, ruleFiles, logDirectory: scratch, eveFile: join(scratch, 'eve.json'), commandSocket: join(scratch, 'socket'),
      ...(classificationFile === undefined ? {} : { classificationFile }), ...(referenceFile === undefined ? {} : { referenceFile }),
    });
  }
}

/** Of nice(1): what it should run is not there; the dynamic linker ends so as well, with other words. */
const NOT_FOUND = 127;

function reasonOf(exit: { readonly code?: number; readonly signal?: string; readonly startError?: string }, limitMs: number, cause: string, program: string): string {
  if (exit.startError !== undefined) return `the test cannot be started: prlimit: ${exit.startError}`;
  if (limitMs > 0) return `the engine did not load the signatures within ${String(limitMs / 1000)} s`;
  if (exit.code === NOT_FOUND && cause.startsWith('nice: ')) return `the signatures cannot be tested: ${program} is not installed`;
  const how = exit.signal === undefined ? `ended with code ${String(exit.code ?? 'unknown')}` : `was ended by ${exit.signal}`;
  return `the engine ${how} at the test${cause === '' ? '' : `: ${cause}`}`;
}

function cancelled(): AgentError {
  return new AgentError('E_CANCELLED', 'the test of the signatures was cancelled', { object: 'signatures' });
}
