import { AgentError } from '../../model/errors.js';
import { EXIT } from '../exit-codes.js';
import { duration } from '../options.js';
import { quarantinesText, quarantineText } from '../render/quarantines.js';
import { print } from '../render/structured.js';
import { defineVerb, type VerbContext } from '../verb.js';
import { workloadOf } from './attach.js';

export const ids = defineVerb({
  command: 'ids <action> [operation] [name]',
  summary: 'control the intrusion detection',
  examples: [
    ['agentctl ids reload', 'take up changed signatures without losing packets'],
    ['agentctl ids quarantine list', 'workloads that are cut off, why and until when'],
    ['agentctl ids quarantine add default/web --for 10m --reason "beaconing"', 'cut a workload off'],
    ['agentctl ids quarantine release default/web', 'let it back before its time'],
  ],
  build: (parser) => parser
    .positional('action', { choices: ['reload', 'quarantine'] as const, demandOption: true, describe: 'reload: reread the signatures' })
    .positional('operation', { choices: ['list', 'add', 'release'] as const, describe: 'of quarantine' })
    .positional('name', { type: 'string', describe: 'namespace/pod, pod/NAMESPACE/NAME or vm/NAME' })
    .option('for', { type: 'string', requiresArg: true, describe: 'with add: how long' })
    .option('reason', { type: 'string', requiresArg: true, describe: 'with add: why, for the audit log' }),
  async run({ action, operation, name, for: time, reason }, context) {
    if (action === 'quarantine') return quarantine({ operation, name, time, reason }, context);
    if (operation !== undefined) throw new AgentError('E_USAGE', `ids ${action} takes no further arguments`);
    const result = await (await context.agent()).reloadIds();
    await print(context.out, context.format, result, () => `${result.reloaded ? 'reloaded' : 'not reloaded'}: ${result.detail}\n`);
    return result.reloaded ? EXIT.done : EXIT.failed;
  },
});

interface QuarantineArguments {
  readonly operation: 'list' | 'add' | 'release' | undefined;
  readonly name: string | undefined;
  readonly time: string | undefined;
  readonly reason: string | undefined;
}

async function quarantine({ operation, name, time, reason }: QuarantineArguments, { agent, out, format, account }: VerbContext): Promise<void> {
  if (operation === undefined) throw new AgentError('E_USAGE', 'ids quarantine takes list, add or release');
  if (operation !== 'add' && (time !== undefined || reason !== undefined)) throw new AgentError('E_USAGE', '--for and --reason go with add');
  if (operation === 'list') {
    if (name !== undefined) throw new AgentError('E_USAGE', 'ids quarantine list takes no name');
    const quarantines = await (await agent()).listQuarantines();
    await print(out, format, { quarantines }, () => quarantinesText(quarantines));
    return;
  }
  if (name === undefined) throw new AgentError('E_USAGE', `ids quarantine ${operation} takes the name of a workload`);
  const workload = workloadOf(name);
  if (operation === 'release') {
    const plain = workload.kind === 'Pod' ? `${workload.namespace ?? 'default'}/${workload.name}` : `vm/${workload.name}`;
    const released = await (await agent()).releaseQuarantine({ name: plain, by: account });
    await print(out, format, released, () => `${released.name} released\n`);
    return;
  }
  if (time === undefined || reason === undefined) throw new AgentError('E_USAGE', 'ids quarantine add needs --for DURATION and --reason TEXT');
  const added = await (await agent()).addQuarantine({ workload, durationMs: duration('for', time), reason, by: account });
  await print(out, format, added, () => quarantineText(added));
}
