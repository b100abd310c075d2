import { EXIT } from '../exit-codes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const ids = defineVerb({
  command: 'ids <action>',
  summary: 'control the intrusion detection',
  examples: [['agentctl ids reload', 'take up changed signatures without losing packets']],
  build: (parser) => parser.positional('action', { choices: ['reload'] as const, demandOption: true, describe: 'reload: reread the signatures' }),
  async run(_args, { agent, out, format }) {
    const result = await (await agent()).reloadIds();
    await print(out, format, result, () => `${result.reloaded ? 'reloaded' : 'not reloaded'}: ${result.detail}\n`);
    return result.reloaded ? EXIT.done : EXIT.failed;
  },
});
