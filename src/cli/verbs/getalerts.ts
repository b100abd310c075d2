import type { AlertView } from '../../model/views.js';
import { integer, pointInTime } from '../options.js';
import { alertLine, alertsText } from '../render/alerts.js';
import { print, printElement } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import type { VerbContext } from '../verb.js';

export const getalerts = defineVerb({
  command: 'getalerts',
  summary: 'print alerts of the intrusion detection with workload, filter and rule',
  examples: [
    ['agentctl getalerts --since 10m --severity 2', 'alerts of severity 1 and 2 of the last ten minutes'],
    ['agentctl getalerts --follow --workload default/web -o json', 'as they come, one JSON object a line'],
  ],
  build: (parser) => parser
    .option('follow', { type: 'boolean', default: false, describe: 'then print alerts as they come, until interrupted' })
    .option('workload', { type: 'string', requiresArg: true, describe: 'only of this workload (namespace/pod or VM)' })
    .option('since', { type: 'string', requiresArg: true, describe: 'only after this time, or within this duration before now' })
    .option('severity', { type: 'string', requiresArg: true, coerce: integer('severity', 1, 255), describe: 'only this severity and worse (1 is the worst)' })
    .option('limit', { type: 'string', requiresArg: true, coerce: integer('limit', 1, 1_000_000), describe: 'at most so many, the newest' }),
  async run({ follow, workload, since, severity, limit }, context) {
    const client = await context.agent();
    const scope = workload === undefined ? {} : { workload };
    const selects = (alert: AlertView): boolean => severity === undefined || alert.severity <= severity;
    if (!follow || since !== undefined || limit !== undefined) {
      const { alerts } = await client.getAlerts({
        ...scope,
        ...(since === undefined ? {} : { sinceMs: pointInTime('since', since, context.now()) }),
        ...(severity === undefined ? {} : { minSeverity: severity }),
        ...(limit === undefined ? {} : { limit }),
      });
      if (!follow) return print(context.out, context.format, { alerts }, () => alertsText(alerts));
      for (const alert of alerts) await printAlert(alert, context);
    }
    for await (const alert of client.followAlerts(scope, context.signal)) if (selects(alert)) await printAlert(alert, context);
  },
});

function printAlert(alert: AlertView, { out, format }: VerbContext): Promise<void> {
  return printElement(out, format, alert, () => alertLine(alert));
}
