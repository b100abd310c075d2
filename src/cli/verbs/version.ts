import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const version = defineVerb({
  command: 'version',
  summary: 'print the versions of agentctl, the agent and its kernel',
  examples: [
    ['agentctl version', 'both sides'],
    ['agentctl version --client', 'without asking the agent'],
  ],
  build: (parser) => parser.option('client', { type: 'boolean', default: false, describe: 'only the version of agentctl' }),
  async run({ client }, { agent, out, format, clientVersion }) {
    if (client) return print(out, format, { client: clientVersion }, () => `agentctl ${clientVersion}\n`);
    const answer = await (await agent()).version();
    await print(out, format, { client: clientVersion, agent: answer }, () =>
      `agentctl ${clientVersion}\ndfw-agent ${answer.version} on ${answer.node} (kernel ${answer.kernel})\n`);
  },
});
