/** The sinks that the configuration names. */
import { Courier, type CourierLimits, type Delivery } from '../drivers/sinks/courier.js';
import { CourierSink } from '../drivers/sinks/courier-sink.js';
import { FileSink } from '../drivers/sinks/file-sink.js';
import { HttpDelivery } from '../drivers/sinks/http-delivery.js';
import { alertRecord, type AlertKind, type AlertSink, type SinkStatus } from '../drivers/sinks/sink.js';
import { AlertSinks } from '../drivers/sinks/sinks.js';
import { StreamDelivery, UdpDelivery, UnixDelivery } from '../drivers/sinks/syslog-deliveries.js';
import { syslogMessage, type SyslogFacility } from '../drivers/sinks/syslog-message.js';
import type { AuditStatus } from '../drivers/audit/audit-log.js';
import { AgentError } from '../model/errors.js';
import type { LabelSelector } from '../model/metadata.js';
import type { AlertView } from '../model/views.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { parseSyslogTarget } from './config-formats.js';
import type { AlertSinkConfig, SelectorConfig } from './config-schema.js';

export interface SinkParts {
  readonly node: string;
  readonly processId: number;
  readonly audit: { onAlert(alert: AlertView): void; status(): AuditStatus };
  /** One datagram to a unix socket. */
  readonly sendDatagram: (path: string, text: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

const FACILITY: SyslogFacility = 'local0';
const HTTP_BATCH = 100;
const HTTP_LINGER_MS = 500;

export function buildSinks(configs: readonly AlertSinkConfig[], parts: SinkParts): AlertSinks {
  return new AlertSinks(configs.map((config) => ({
    name: config.name ?? config.type,
    selection: {
      ...(config.severity === undefined ? {} : { severity: config.severity }),
      ...(config.selector === undefined ? {} : { selector: selectorOf(config.selector) }),
    },
    sink: sinkOf(config, parts),
  })));
}

export function selectorOf({ matchLabels = {}, matchExpressions = [] }: SelectorConfig): LabelSelector {
  return { matchLabels, matchExpressions: matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })) };
}

function sinkOf(config: AlertSinkConfig, parts: SinkParts): AlertSink {
  const { clock, log, node } = parts;
  const name = config.name ?? config.type;
  const onState = (reason: string): void => {
    if (reason === '') log.info('alerts.sink.working', { sink: name });
    else log.warn('alerts.sink.failing', { sink: name, reason });
  };
  const courier = (delivery: Delivery, limits: CourierLimits = {}): Courier => new Courier(delivery, limits, clock, onState);
  switch (config.type) {
    case 'audit': return new AuditSink(parts.audit);
    case 'file': return new FileSink(config.path, node, onState);
    case 'syslog': {
      const header = { facility: config.facility ?? FACILITY, hostName: node, processId: parts.processId };
      return new CourierSink(courier(syslogDelivery(config, parts)), (alert, kind) => syslogMessage(alert, kind, header));
    }
    case 'http': {
      const { url, batch = HTTP_BATCH, headers = {}, tls } = config;
      const delivery = new HttpDelivery({ url, batch, headers, ...(tls === undefined ? {} : { tls }) });
      return new CourierSink(courier(delivery, { lingerMs: HTTP_LINGER_MS }), (alert, kind) => JSON.stringify(alertRecord(alert, kind, node)));
    }
  }
}

function syslogDelivery({ address, tls }: Extract<AlertSinkConfig, { type: 'syslog' }>, { sendDatagram }: SinkParts): Delivery {
  const target = parseSyslogTarget(address);
  if (target === undefined) throw new AgentError('E_CONFIG', `${address} is no syslog server`, { object: 'ids.sinks' });
  switch (target.type) {
    case 'unix': return new UnixDelivery(target.path, sendDatagram);
    case 'udp': return new UdpDelivery(target.host, target.port);
    case 'tcp': return new StreamDelivery({ host: target.host, port: target.port });
    case 'tls': return new StreamDelivery({ host: target.host, port: target.port, tls: tls ?? {} });
  }
}

/** The audit log, which has a file and a status of its own. */
class AuditSink implements AlertSink {
  private sent = 0;

  constructor(private readonly audit: SinkParts['audit']) {}

  async start(): Promise<void> {
    // The audit log is started by the agent.
  }

  offer(alert: AlertView, _kind: AlertKind): void {
    this.sent += 1;
    this.audit.onAlert(alert);
  }

  reopen(): void {
    // By the agent.
  }

  async stop(): Promise<void> {
    // By the agent.
  }

  status(): SinkStatus {
    const { writable, reason } = this.audit.status();
    return { working: writable, reason, sent: this.sent, failed: 0, dropped: 0, pending: 0 };
  }
}
