import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const detach = defineVerb({
  command: 'detach <filter>',
  summary: 'remove an attachment that was made with attach',
  examples: [['agentctl detach default/web', 'the filter of that pod goes; its interface is no longer filtered']],
  build: (parser) => parser.positional('filter', { type: 'string', demandOption: true, describe: 'filter name, interface, namespace/pod[/vnic] or VM name' }),
  async run({ filter }, { agent, out, format }) {
    const change = await (await agent()).detach(filter);
    await print(out, format, change, () => changesText([change]));
  },
});
