import { statusText } from '../render/status.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const status = defineVerb({
  command: 'status',
  summary: 'print the state of the agent: sources, tables, what is degraded and since when',
  examples: [
    ['agentctl status', 'the overview'],
    ['agentctl status -o json | jq .realized', 'whether the kernel holds all that is desired'],
  ],
  build: (parser) => parser,
  async run(_args, { agent, out, format, palette }) {
    const view = await (await agent()).status();
    await print(out, format, view, () => statusText(view, palette));
  },
});
