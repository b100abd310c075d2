/** What a verb of agentctl is. One file a verb in verbs/; verbs/index.ts lists them. */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { RemoteAgentApi } from '../api/client.js';
import type { Manager } from './manager.js';
import type { Output, OutputFormat } from './output.js';
import type { Palette } from './render/palette.js';

export interface GlobalArguments {
  socket: string;
  output: OutputFormat;
  color: boolean;
}

export interface VerbContext {
  /** Connects to the agent; rejects with E_UNREACHABLE or E_DENIED. */
  readonly agent: () => Promise<RemoteAgentApi>;
  /** The store of --etcd, or of $DFW_ETCD; undefined: neither is given. Rejects with E_CONFIG; closed at the end. */
  readonly manager: (file: string | undefined, host: string | undefined) => Promise<Manager | undefined>;
  readonly out: Output;
  readonly format: OutputFormat;
  readonly palette: Palette;
  /** Fires on Ctrl-C and when stdout's reader is gone. */
  readonly signal: AbortSignal;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly now: () => number;
  readonly clientVersion: string;
  /** Account of the user, for the audit trail; what the environment says, so no proof. */
  readonly account: string;
}

export type ExitCode = number;
export type Run<T> = (args: ArgumentsCamelCase<T>, context: VerbContext) => Promise<ExitCode | void>;

export interface VerbSpecification<T> {
  /** yargs command: "get <kind> [name]". */
  readonly command: string;
  readonly summary: string;
  /** [command line, what it does] */
  readonly examples: readonly (readonly [string, string])[];
  /** True: not in the list of verbs. */
  readonly hidden?: boolean;
  readonly build: (parser: Argv<GlobalArguments>) => Argv<T>;
  readonly run: Run<T>;
}

export type Invocation = (context: VerbContext) => Promise<ExitCode | void>;
export interface Verb {
  readonly name: string;
  readonly summary: string;
  /** Adds the verb to a parser; `select` is called with the parsed invocation when the command line names this verb. */
  register(parser: Argv<GlobalArguments>, select: (invocation: Invocation) => void): void;
}

export function defineVerb<T>(specification: VerbSpecification<T>): Verb {
  const { command, summary, examples, hidden, build, run } = specification;
  const name = command.split(' ')[0] ?? command;
  return {
    name,
    summary,
    register(parser, select) {
      parser.command<T>({
        command,
        describe: hidden === true ? false : summary,
        builder: (scope) => build(scope.example(examples.map(([line, what]): [string, string] => [line, what]))),
        handler: (args) => select((context) => run(args, context)),
      });
    },
  };
}
