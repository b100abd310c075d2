import { AgentError } from '../../model/errors.js';
import type { SignatureChangeView, SignatureFilter } from '../../model/views.js';
import { EXIT } from '../exit-codes.js';
import { integer } from '../options.js';
import { faultsText, idsStatusText, signaturesText } from '../render/ids.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import type { VerbContext } from '../verb.js';
import { quarantine } from './ids-quarantine.js';

const ACTIONS = ['status', 'signatures', 'reload', 'update', 'rollback', 'quarantine'] as const;

export const ids = defineVerb({
  command: 'ids <action> [operation] [name]',
  summary: 'show and control the intrusion detection: engine, signatures, versions',
  examples: [
    ['agentctl ids status', 'the engine, how many signatures are in force, where they come from and what is wrong with them'],
    ['agentctl ids signatures --severity 1 --enabled', 'the most severe ones that are in force'],
    ['agentctl ids signatures --sid 2100498 -o json', 'one of them'],
    ['agentctl ids reload', 'take up a changed directory of signatures, when they pass a test'],
    ['agentctl ids update', 'fetch the bundle of signatures now'],
    ['agentctl ids quarantine list', 'workloads that are cut off, why and until when'],
    ['agentctl ids quarantine add default/web --for 10m --reason "beaconing"', 'cut a workload off'],
    ['agentctl ids quarantine release default/web', 'let it back before its time'],
    ['agentctl ids rollback', 'the version of the bundle before; again: forward'],
  ],
  build: (parser) => parser
    .positional('action', { choices: ACTIONS, demandOption: true, describe: 'what to do; reload, update and rollback exit with 1 when something was wrong' })
    .positional('operation', { choices: ['list', 'add', 'release'] as const, describe: 'of quarantine' })
    .positional('name', { type: 'string', describe: 'of quarantine: namespace/pod, pod/NAMESPACE/NAME or vm/NAME' })
    .option('for', { type: 'string', requiresArg: true, describe: 'quarantine add: how long' })
    .option('reason', { type: 'string', requiresArg: true, describe: 'quarantine add: why, for the audit log' })
    .option('sid', { type: 'string', requiresArg: true, coerce: integer('sid', 1, 4_294_967_295), describe: 'signatures: only this one' })
    .option('severity', { type: 'string', requiresArg: true, coerce: integer('severity', 1, 255), describe: 'signatures: only of this severity (1 is the worst)' })
    .option('category', { type: 'string', requiresArg: true, describe: 'signatures: only of this category (classtype)' })
    .option('enabled', { type: 'boolean', describe: 'signatures: only those in force' })
    .option('disabled', { type: 'boolean', describe: 'signatures: only those that are not' }),
  async run({ action, operation, name, for: time, reason, sid, severity, category, enabled, disabled }, context) {
    const filter: SignatureFilter = {
      ...(sid === undefined ? {} : { sid }), ...(severity === undefined ? {} : { severity }), ...(category === undefined ? {} : { category }),
      ...(enabled === true ? { enabled: true } : {}), ...(disabled === true ? { enabled: false } : {}),
    };
    if (enabled === true && disabled === true) throw new AgentError('E_USAGE', '--enabled and --disabled exclude each other');
    if (action !== 'signatures' && Object.keys(filter).length > 0) throw new AgentError('E_USAGE', `ids ${action} takes no --${Object.keys(filter)[0] ?? ''}; ids signatures does`);
    if (action === 'quarantine') {
      await quarantine({ operation, name, time, reason }, context);
      return EXIT.done;
    }
    if (operation !== undefined || time !== undefined || reason !== undefined) throw new AgentError('E_USAGE', `ids ${action} takes no operation, --for or --reason; ids quarantine does`);
    const { out, format, palette } = context;
    const client = await context.agent();
    switch (action) {
      case 'status': {
        const view = await client.idsStatus();
        await print(out, format, view, () => idsStatusText(view, palette));
        return EXIT.done;
      }
      case 'signatures': {
        const view = await client.getSignatures(filter);
        await print(out, format, view, () => signaturesText(view.signatures));
        return sid !== undefined && view.signatures.length === 0 ? EXIT.notFound : EXIT.done;
      }
      case 'reload': {
        const result = await client.reloadIds();
        await print(out, format, result, () => `${result.reloaded ? 'reloaded' : 'not reloaded'}: ${result.detail}\n${faultsText(result.faults)}`);
        return result.reloaded ? EXIT.done : EXIT.failed;
      }
      case 'update':
        return changed(await client.updateSignatures(), context);
      case 'rollback':
        return changed(await client.rollbackSignatures(), context);
    }
  },
});

/** Nothing new is no failure; a fault is. */
async function changed(change: SignatureChangeView, { out, format }: VerbContext): Promise<number> {
  const version = change.version === undefined ? '' : ` (version ${change.version})`;
  await print(out, format, change, () => `${change.outcome}: ${change.detail}${version}\n${faultsText(change.faults)}`);
  return change.outcome === 'failed' ? EXIT.failed : EXIT.done;
}
