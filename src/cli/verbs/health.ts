import { EXIT } from '../exit-codes.js';
import { healthText } from '../render/status.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const health = defineVerb({
  command: 'health',
  summary: 'say whether the agent does its work; exit 1 when it does not',
  examples: [['agentctl health', 'for probes and scripts']],
  build: (parser) => parser,
  async run(_args, { agent, out, format, palette }) {
    const view = await (await agent()).health();
    await print(out, format, view, () => healthText(view, palette));
    return view.healthy ? EXIT.done : EXIT.failed;
  },
});
