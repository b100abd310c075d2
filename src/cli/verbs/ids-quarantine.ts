/** `agentctl ids quarantine`: its part of the verb ids. */
import { AgentError } from '../../model/errors.js';
import { duration } from '../options.js';
import { quarantinesText, quarantineText } from '../render/quarantines.js';
import { print } from '../render/structured.js';
import type { VerbContext } from '../verb.js';
import { workloadOf } from './attach.js';

export interface QuarantineArguments {
  readonly operation: 'list' | 'add' | 'release' | undefined;
  readonly name: string | undefined;
  readonly time: string | undefined;
  readonly reason: string | undefined;
}

export async function quarantine({ operation, name, time, reason }: QuarantineArguments, { agent, out, format, account }: VerbContext): Promise<void> {
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
