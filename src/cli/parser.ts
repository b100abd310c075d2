/** The command line of agentctl: what yargs makes of it, without running anything. */
import yargs from 'yargs';
import type { Argv } from 'yargs';
import { AgentError, isAgentError } from '../model/errors.js';
import { nearest } from '../model/nearest.js';
import { REPEATABLE } from './options.js';
import type { GlobalArguments, Invocation } from './verb.js';
import { VERBS } from './verbs/index.js';

export const DEFAULT_SOCKET = '/run/dfw-agent/agent.sock';

export type Parsed =
  | { readonly kind: 'run'; readonly invocation: Invocation; readonly globals: GlobalArguments }
  | { readonly kind: 'print'; readonly text: string };

/** Help and completion are answers ('print'); throws E_USAGE, with what to do, for a command line that is none of ours. */
export async function parseCommandLine(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>, width: number): Promise<Parsed> {
  let invocation: Invocation | undefined;
  const parser = createParser(environment, width, (selected) => (invocation = selected));
  let failure: unknown;
  let text = '';
  const globals: GlobalArguments = await parser.parse(joinDashes(argv), {}, (error, _args, output) => {
    failure = error;
    text = output;
  });
  if (failure !== undefined && failure !== null) throw usageError(failure, argv);
  if (text !== '') return { kind: 'print', text: `${text}\n` };
  if (invocation === undefined) throw new AgentError('E_USAGE', 'a verb is missing; agentctl --help lists them');
  return { kind: 'run', invocation, globals };
}

/** yargs takes a lone - for an option, not for the value of the one before it: `-f -` becomes `-f=-`. */
function joinDashes(argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (const word of argv) {
    const previous = joined.at(-1);
    if (word === '-' && previous !== undefined && /^--?[^-=][^=]*$/u.test(previous)) joined[joined.length - 1] = `${previous}=-`;
    else joined.push(word);
  }
  return joined;
}

/**
 * Candidates for the last word that the parser itself knows: verbs, the options of a verb, the choices of its argument. Read
 * from the verb's help, so that what is offered is what is documented.
 */
export async function staticCandidates(words: readonly string[]): Promise<string[]> {
  const [verb = ''] = words;
  const typed = words.at(-1) ?? '';
  if (words.length <= 1 && !typed.startsWith('-')) return VERBS.map((known) => known.name);
  const known = words.length > 1 && VERBS.some((entry) => entry.name === verb);
  const help = await parseCommandLine(known ? [verb, '--help'] : ['--help'], {}, 1_000);
  const text = help.kind === 'print' ? help.text : '';
  if (typed.startsWith('-')) {
    const options = /^Options:\n((?: .*\n)*)/mu.exec(text)?.[1] ?? '';
    return [...options.matchAll(/^\s+(?:-\w, )?(--[\w-]+)/gmu)].map((match) => match[1] ?? '');
  }
  const positional = words.length === 2 ? /^Positionals:\n.*\[choices: ([^\]]*)\]/mu.exec(text)?.[1] ?? '' : '';
  return [...positional.matchAll(/"([^"]*)"/gu)].map((match) => match[1] ?? '');
}

function createParser(environment: Readonly<Record<string, string | undefined>>, width: number, select: (invocation: Invocation) => void): Argv<GlobalArguments> {
  const parser: Argv<GlobalArguments> = yargs([])
    .scriptName('agentctl')
    .locale('en')
    .usage('$0 VERB [options]\n\nQuestions and orders to the firewall agent of this host.')
    .parserConfiguration({ 'greedy-arrays': false, 'dot-notation': false, 'parse-numbers': false, 'parse-positional-numbers': false, 'duplicate-arguments-array': true, 'populate--': false })
    // Before the checks and conversions of options, which know single values only.
    .middleware((args) => refuseRepeated(args), true)
    .option('socket', {
      type: 'string', requiresArg: true, default: environment['DFW_SOCKET'] ?? DEFAULT_SOCKET, defaultDescription: `$DFW_SOCKET or ${DEFAULT_SOCKET}`,
      describe: 'socket of the agent',
    })
    .option('output', { alias: 'o', choices: ['text', 'json', 'yaml'] as const, default: 'text' as const, requiresArg: true, describe: 'form of the answer' })
    .option('color', { type: 'boolean', default: true, describe: 'colours on a terminal; --no-color turns them off' })
    .help('help', 'print help; agentctl VERB --help has examples')
    .alias('help', 'h')
    .version(false)
    .strict()
    .demandCommand(1, 1, 'a verb is missing; agentctl --help lists them')
    .wrap(width)
    .exitProcess(false)
    .showHelpOnFail(false)
    .epilogue('Exit codes: 0 done, 1 failed, 2 wrong usage, 3 agent not reachable, 4 no such object.');
  for (const verb of VERBS) verb.register(parser, select);
  return parser;
}

/** yargs makes a list of an option given twice, whatever the option. Flags (--color) are not concerned: the last one counts. */
function refuseRepeated(args: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(args)) {
    // `_` and aliases of one letter say nothing new; a name in camel case stands beside the one with hyphens.
    if (name.length === 1 || REPEATABLE.has(name) || !Array.isArray(value) || value.length < 2) continue;
    throw new AgentError('E_USAGE', `--${name} is given ${value.length} times (${value.join(', ')}) and takes one value`);
  }
}

function usageError(failure: unknown, argv: readonly string[]): AgentError {
  if (isAgentError(failure)) return failure;
  const message = (failure instanceof Error ? failure.message : String(failure)).split('\n').filter((line) => line.trim() !== '').join(' ');
  const [verb = ''] = argv.filter((word) => !word.startsWith('-'));
  if (VERBS.some((known) => known.name === verb)) return new AgentError('E_USAGE', `${message}; see agentctl ${verb} --help`);
  const near = nearest(verb, VERBS.map((known) => known.name));
  if (verb === '' || message.startsWith('Unknown argument') && near === undefined) return new AgentError('E_USAGE', `${message}; see agentctl --help`);
  return new AgentError('E_USAGE', near === undefined ? `${message}; see agentctl --help` : `no such verb ${JSON.stringify(verb)}; did you mean ${near}?`);
}
