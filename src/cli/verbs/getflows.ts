import type { FlowsRequest } from '../../api/agent-api.js';
import type { RemoteAgentApi } from '../../api/client.js';
import { AgentError } from '../../model/errors.js';
import type { FlowStream } from '../../model/views.js';
import { filterOption, integer } from '../options.js';
import type { Output } from '../output.js';
import { countsLine, flowLine, ObjectJoiner } from '../render/flows.js';
import { printElement, yamlText } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import type { VerbContext } from '../verb.js';

export const getflows = defineVerb({
  command: 'getflows',
  summary: 'print the connection-tracker table with the rule of every flow',
  examples: [
    ['agentctl getflows -f nic-3-eth0-dfw.2', 'flows of one filter'],
    ['agentctl getflows --all --rule 1006', 'every flow of this host that rule 1006 admitted'],
    ['agentctl getflows -f default/web --watch -o json', 'flows as they begin and end, one JSON object a line'],
  ],
  build: (parser) => parser
    .option('filter', filterOption)
    .option('all', { type: 'boolean', default: false, describe: 'flows of every filter' })
    .option('rule', { type: 'string', requiresArg: true, coerce: integer('rule', 1, 0x7fff_ffff), describe: 'only flows admitted by this rule id' })
    .option('watch', { type: 'boolean', default: false, describe: 'print flows as they begin (new) and end (end) until interrupted' }),
  async run({ filter, all, rule, watch }, context) {
    if (all === (filter !== undefined)) throw new AgentError('E_USAGE', 'getflows takes either -f FILTER or --all');
    const request: FlowsRequest = {
      format: context.format === 'text' ? 'text' : 'json',
      ...(filter === undefined ? { all: true } : { filter }),
      ...(rule === undefined ? {} : { ruleId: rule }),
    };
    const client = await context.agent();
    if (watch) return follow(client, request, context);
    const flows = await client.getFlows(request, context.signal);
    switch (context.format) {
      case 'text':
        await context.out.write(countsLine(flows.counts));
        for await (const chunk of flows.chunks) await context.out.write(chunk);
        break;
      case 'json':
        await writeJson(context.out, filter, flows);
        break;
      case 'yaml':
        await writeYaml(context.out, filter, flows);
        break;
    }
    if (context.signal.aborted) throw new AgentError('E_CANCELLED', 'interrupted; the flows printed are not all');
  },
});

async function writeJson(out: Output, filter: string | undefined, flows: FlowStream): Promise<void> {
  const joiner = new ObjectJoiner();
  const head = filter === undefined ? '' : `"filter":${JSON.stringify(filter)},`;
  await out.write(`{${head}"counts":${JSON.stringify(flows.counts)},"flows":[\n`);
  for await (const chunk of flows.chunks) {
    await out.write(joiner.separator(chunk));
    await out.write(chunk);
  }
  await out.write('\n]}\n');
}

async function writeYaml(out: Output, filter: string | undefined, flows: FlowStream): Promise<void> {
  await out.write(await yamlText({ ...(filter === undefined ? {} : { filter }), counts: flows.counts }));
  let empty = true;
  for await (const chunk of flows.chunks) {
    const text = new TextDecoder().decode(chunk).trim().replace(/^,|,$/gu, '');
    if (text === '') continue;
    const objects: unknown = JSON.parse(`[${text}]`);
    await out.write(`${empty ? 'flows:\n' : ''}${(await yamlText(objects)).replaceAll(/^(?=.)/gmu, '  ')}`);
    empty = false;
  }
  if (empty) await out.write('flows: []\n');
}

async function follow(client: RemoteAgentApi, request: FlowsRequest, { out, format, signal }: VerbContext): Promise<void> {
  for await (const change of client.watchFlows(request, signal)) {
    await printElement(out, format, change, () => `${change.event.padEnd(3)} ${flowLine(change.flow)}\n`);
  }
}
