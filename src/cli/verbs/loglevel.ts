import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const loglevel = defineVerb({
  command: 'loglevel <level>',
  summary: 'set the log level of the running agent',
  examples: [['agentctl loglevel debug', 'until its next start']],
  build: (parser) => parser.positional('level', { choices: ['error', 'warn', 'info', 'debug'] as const, demandOption: true, describe: 'the new level' }),
  async run({ level }, { agent, out, format }) {
    const set = await (await agent()).setLogLevel(level);
    await print(out, format, { level: set }, () => `log level ${set}\n`);
  },
});
