import { requiredFilter } from '../options.js';
import { rulesText, ruleStatsText } from '../render/rules.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const getrules = defineVerb({
  command: 'getrules',
  summary: 'print the rules in force at a filter, in order of evaluation',
  examples: [
    ['agentctl getrules -f nic-3-eth0-dfw.2', 'as vsipioctl prints them; a *.rules file may hold this'],
    ['agentctl getrules -f default/redis-master -s', 'hits, packets and bytes of every rule'],
  ],
  build: (parser) => parser
    .option('filter', requiredFilter)
    .option('stats', { alias: 's', type: 'boolean', default: false, describe: 'hit counters instead of the rules' }),
  async run({ filter, stats }, { agent, out, format }) {
    const rules = await (await agent()).getRules(filter, stats);
    await print(out, format, rules, () => (stats ? ruleStatsText(rules.rulesets) : rulesText(rules.rulesets)));
  },
});
