import { requiredFilter } from '../options.js';
import { addressSetsText } from '../render/rules.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getaddrsets = defineVerb({
  command: 'getaddrsets',
  summary: 'print the address sets that the rules of a filter use',
  examples: [
    ['agentctl getaddrsets -f nic-3-eth0-dfw.2', 'as vsipioctl prints them'],
    ['agentctl getaddrsets -f veth3f2a -o json', 'the same as JSON'],
  ],
  build: (parser) => parser.option('filter', requiredFilter),
  async run({ filter }, { agent, out, format }) {
    const sets = await (await agent()).getAddressSets(filter);
    if (format !== 'text') return print(out, format, sets, () => '');
    for (const piece of addressSetsText(sets.addressSets)) await out.write(piece);
  },
});
