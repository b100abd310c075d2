import { requiredFilter } from '../options.js';
import { filterStatText } from '../render/filterstat.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getfilterstat = defineVerb({
  command: 'getfilterstat',
  summary: 'print packet and byte counters and drop reasons of a filter',
  examples: [['agentctl getfilterstat -f nic-3-eth0-dfw.2', 'counters since the filter was made']],
  build: (parser) => parser.option('filter', requiredFilter),
  async run({ filter }, { agent, out, format }) {
    const stat = await (await agent()).getFilterStat(filter);
    await print(out, format, stat, () => filterStatText(stat));
  },
});
