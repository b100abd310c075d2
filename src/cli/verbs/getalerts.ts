import { AgentError } from '../../model/errors.js';
import type { AlertSelection, AlertView } from '../../model/views.js';
import { integer, pointInTime } from '../options.js';
import { alertLine, alertsText } from '../render/alerts.js';
import { print, printElement } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import type { VerbContext } from '../verb.js';
import { writeChunks } from '../write-chunks.js';

export const getalerts = defineVerb({
  command: 'getalerts',
  summary: 'print alerts of the intrusion detection with workload, filter and rule',
  examples: [
    ['agentctl getalerts --since 10m --severity 2', 'alerts of severity 1 and 2 of the last ten minutes'],
    ['agentctl getalerts --follow --workload default/web -o json', 'as they come, one JSON object a line'],
    ['agentctl getalerts --sid 2100498 --limit 5', 'the newest five of one signature'],
    ['agentctl getalerts --pcap 3f6c0a9b2d417e58 -w attack.pcapng', 'the packets around an alert'],
  ],
  build: (parser) => parser
    .option('follow', { type: 'boolean', default: false, describe: 'then print alerts as they come, until interrupted' })
    .option('workload', { type: 'string', requiresArg: true, describe: 'only of this workload (namespace/pod or VM)' })
    .option('since', { type: 'string', requiresArg: true, describe: 'only after this time, or within this duration before now' })
    .option('severity', { type: 'string', requiresArg: true, coerce: integer('severity', 1, 255), describe: 'only this severity and worse (1 is the worst)' })
    .option('sid', { type: 'string', requiresArg: true, coerce: integer('sid', 1, 4_294_967_295), describe: 'only of this signature' })
    .option('category', { type: 'string', requiresArg: true, describe: 'only of categories that hold this text' })
    .option('limit', { type: 'string', requiresArg: true, coerce: integer('limit', 1, 1_000_000), describe: 'at most so many, the newest' })
    .option('pcap', { type: 'string', requiresArg: true, describe: 'write the packets around the alert of this id (-o json shows ids)' })
    .option('write', { alias: 'w', type: 'string', requiresArg: true, describe: 'with --pcap: the file, or - for stdout; default alert-ID.pcapng' }),
  async run({ follow, workload, since, severity, sid, category, limit, pcap, write }, context) {
    if (write !== undefined && pcap === undefined) throw new AgentError('E_USAGE', '-w goes with --pcap');
    if (pcap !== undefined) return writePackets(pcap, write, context);
    const client = await context.agent();
    const selection: AlertSelection = {
      ...(workload === undefined ? {} : { workload }), ...(severity === undefined ? {} : { minSeverity: severity }),
      ...(sid === undefined ? {} : { signatureId: sid }), ...(category === undefined ? {} : { category }),
    };
    if (!follow || since !== undefined || limit !== undefined) {
      const { alerts } = await client.getAlerts({
        ...selection,
        ...(since === undefined ? {} : { sinceMs: pointInTime('since', since, context.now()) }),
        ...(limit === undefined ? {} : { limit }),
      });
      if (!follow) return print(context.out, context.format, { alerts }, () => alertsText(alerts));
      for (const alert of alerts) await printAlert(alert, context);
    }
    for await (const alert of client.followAlerts(selection, context.signal)) await printAlert(alert, context);
  },
});

async function writePackets(id: string, file: string | undefined, { agent, out }: VerbContext): Promise<void> {
  if (!/^[0-9a-f]{1,64}$/.test(id)) throw new AgentError('E_USAGE', `--pcap takes the id of an alert, as getalerts prints it, not ${JSON.stringify(id)}`);
  await writeChunks(file ?? `alert-${id}.pcapng`, (await agent()).getAlertPackets(id), out);
}

function printAlert(alert: AlertView, { out, format }: VerbContext): Promise<void> {
  return printElement(out, format, alert, () => alertLine(alert));
}
