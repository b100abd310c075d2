import { AgentError } from '../../model/errors.js';
import { requiredFilter } from '../options.js';
import { filterText } from '../render/filters.js';
import { addressSetsText, rulesText } from '../render/rules.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getconfig = defineVerb({
  command: 'getconfig',
  summary: 'print all of a filter: what it is, its rules and its address sets',
  examples: [
    ['agentctl getconfig -f nic-3-eth0-dfw.2', 'the filter as comments, then what a *.rules file may hold'],
    ['agentctl getconfig -f web-sv-01a > web.rules', 'keep the tables of a VM as a file that loads again'],
  ],
  build: (parser) => parser.option('filter', requiredFilter),
  async run({ filter: name }, { agent, out, format }) {
    const client = await agent();
    // The name may be an interface or a workload: the answer of getRules tells which filter that is.
    const rules = await client.getRules(name, false);
    const [filters, sets] = await Promise.all([client.getFilters(), client.getAddressSets(rules.filter)]);
    const filter = filters.find((candidate) => candidate.name === rules.filter);
    if (filter === undefined) throw new AgentError('E_NOT_FOUND', 'the filter was removed meanwhile', { object: rules.filter });
    if (format !== 'text') return print(out, format, { filter, rulesets: rules.rulesets, addressSets: sets.addressSets }, () => '');
    await out.write(`${filterText(filter).replaceAll(/^(?=.)/gmu, '# ')}\n${rulesText(rules.rulesets)}\n`);
    for (const piece of addressSetsText(sets.addressSets)) await out.write(piece);
  },
});
