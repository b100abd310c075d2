import { completionScript } from '../completion.js';
import { defineVerb } from '../verb.js';

export const completion = defineVerb({
  command: 'completion <shell>',
  summary: 'print the completion script of a shell',
  examples: [
    ['source <(agentctl completion bash)', 'in the running bash; or keep it in /etc/bash_completion.d/agentctl'],
    ['agentctl completion zsh > "${fpath[1]}/_agentctl"', 'for every zsh to come'],
  ],
  build: (parser) => parser.positional('shell', { choices: ['bash', 'zsh'] as const, demandOption: true, describe: 'bash or zsh' }),
  async run({ shell }, { out }) {
    await out.write(completionScript(shell));
  },
});
