import { filterOption } from '../options.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getconncount = defineVerb({
  command: 'getconncount',
  summary: 'print the number of connections of a filter or of this host',
  examples: [
    ['agentctl getconncount', 'connections of every filter together'],
    ['agentctl getconncount -f default/web', 'connections of one filter'],
  ],
  build: (parser) => parser.option('filter', filterOption),
  async run({ filter }, { agent, out, format }) {
    const count = await (await agent()).getConnCount(filter);
    await print(out, format, count, () => `Connection count: ${count.connections}\n`);
  },
});
