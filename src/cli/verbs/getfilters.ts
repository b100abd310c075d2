import { filtersText } from '../render/filters.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getfilters = defineVerb({
  command: 'getfilters',
  summary: 'list the filters of this host',
  examples: [
    ['agentctl getfilters', 'every filter with its workload, state and hash'],
    ['agentctl getfilters -o json | jq -r ".filters[].name"', 'the names alone'],
  ],
  build: (parser) => parser,
  async run(_args, { agent, out, format }) {
    const filters = await (await agent()).getFilters();
    await print(out, format, { filters }, () => filtersText(filters));
  },
});
