import { AgentError } from '../../model/errors.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const cleanup = defineVerb({
  command: 'cleanup',
  summary: 'remove everything the agent put into the datapath: no filter is enforced afterwards',
  examples: [['agentctl cleanup --yes', 'before the agent is uninstalled']],
  build: (parser) => parser.option('yes', { type: 'boolean', default: false, describe: 'confirm' }),
  async run({ yes }, { agent, out, format }) {
    if (!yes) throw new AgentError('E_USAGE', 'cleanup removes all filters, rules and mirrors of this host; confirm with --yes');
    const result = await (await agent()).cleanup(true);
    await print(out, format, result, () => (result.removed.length === 0 ? 'nothing to remove\n' : result.removed.map((name) => `${name} removed\n`).join('')));
  },
});
