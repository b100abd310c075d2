import { EXIT } from '../exit-codes.js';
import { duration } from '../options.js';
import { faultLine } from '../render/status.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const sync = defineVerb({
  command: 'sync',
  summary: 'reread every source now and wait until all they hold is enforced',
  examples: [
    ['agentctl sync', 'exit 0: everything is enforced; exit 1: an object was refused or time ran out'],
    ['agentctl sync --timeout 1m -o json', 'the same with a longer patience'],
  ],
  build: (parser) => parser.option('timeout', { type: 'string', default: '10s', requiresArg: true, describe: 'how long to wait' }),
  async run({ timeout }, { agent, out, format }) {
    const timeoutMs = duration('timeout', timeout);
    const result = await (await agent()).sync(timeoutMs);
    await print(out, format, result, () =>
      `${result.realized ? 'realized' : 'not realized'}: generation ${result.generation} after ${Math.round(result.durationMs)} ms\n`);
    if (format === 'text') for (const fault of result.errors) out.message(`agentctl: ${faultLine(fault)}`);
    return result.realized && result.errors.length === 0 ? EXIT.done : EXIT.failed;
  },
});
