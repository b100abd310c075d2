/** Alerts on their way through the agent: context, sinks, response, packets; and how all that is, for status and metrics. */
import type { AlertContexts } from '../drivers/ids/alerts.js';
import type { AlertPackets } from '../drivers/ids/alert-packets.js';
import type { AlertKind } from '../drivers/sinks/sink.js';
import type { AlertSinks } from '../drivers/sinks/sinks.js';
import { AgentError } from '../model/errors.js';
import type { AlertView } from '../model/views.js';
import type { Metrics } from '../platform/metrics.js';
import type { IdsStatus } from '../drivers/ids/ids.js';
import type { AlertResponse } from './alert-response.js';
import type { Component, DatapathState } from './status.js';

export interface AlertingParts {
  readonly contexts: AlertContexts;
  readonly sinks: AlertSinks;
  readonly response: AlertResponse;
  /** undefined: packets are not kept. */
  readonly packets: AlertPackets | undefined;
  readonly metrics: Metrics;
  /** Interfaces of this host: name → index. */
  readonly interfaces: () => Promise<ReadonlyMap<string, number>>;
}

export class Alerting {
  constructor(private readonly parts: AlertingParts) {}

  get contexts(): AlertContexts {
    return this.parts.contexts;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.parts.sinks.start(signal);
    await this.interfacesChanged();
  }

  async stop(): Promise<void> {
    this.parts.packets?.stop();
    await this.parts.sinks.stop();
  }

  reopen(): void {
    this.parts.sinks.reopen();
  }

  /** The sensor may have come, gone, or been made anew. */
  async interfacesChanged(): Promise<void> {
    const { packets, interfaces } = this.parts;
    if (packets !== undefined) packets.interfacesAre(await interfaces());
  }

  onAlert(alert: AlertView, kind: AlertKind): void {
    this.parts.sinks.offer(alert, kind);
    if (kind === 'alert') this.parts.response.onAlert(alert);
  }

  onCounted(severity: number, action: string, count: number): void {
    this.parts.metrics.idsAlerts.inc({ severity: String(severity), action }, count);
  }

  /** @throws AgentError E_INVALID: packets are not kept; E_NOT_FOUND as AlertPackets.file. */
  packetsOf(alert: AlertView): AsyncIterable<Uint8Array> {
    const { packets } = this.parts;
    if (packets === undefined) {
      throw new AgentError('E_INVALID', 'packets are not kept: set ids.pcap.enabled in the configuration and restart the agent', { object: alert.id });
    }
    return packets.file(alert);
  }

  state(ids: IdsStatus | undefined): DatapathState {
    const components: Component[] = [];
    const degraded: string[] = [];
    if (ids !== undefined) {
      const { kept, windows, dropped, forgotten, followerLost, journal } = ids.store;
      components.push({
        name: 'alerts', state: journal === '' ? 'keeping' : 'degraded',
        detail: `${kept} kept, ${windows} windows open, ${dropped} dropped, ${forgotten} windows forgotten, ${followerLost} lost by followers`,
      });
      if (journal !== '') degraded.push(`alerts would not survive a restart: ${journal}`);
    }
    for (const { name, working, reason, sent, failed, dropped, pending } of this.parts.sinks.status()) {
      components.push({ name: `alerts to ${name}`, state: working ? 'working' : 'failing', detail: `${sent} sent, ${failed} failures, ${dropped} dropped, ${pending} pending${reason === '' ? '' : `; ${reason}`}` });
      if (!working) degraded.push(`alerts to ${name}: ${reason}`);
    }
    const { packets } = this.parts;
    if (packets !== undefined) {
      const { reason, kept, usedBytes, capacityBytes, dropped, oldestMs } = packets.status();
      components.push({
        name: 'alert packets', state: reason === '' ? 'keeping' : 'waiting',
        detail: `${kept} packets, ${usedBytes} of ${capacityBytes} bytes, ${dropped} missed${oldestMs === 0 ? '' : `, back to ${new Date(oldestMs).toISOString()}`}${reason === '' ? '' : `; ${reason}`}`,
      });
      if (reason !== '') degraded.push(`alert packets: ${reason}`);
    }
    return { components, degraded };
  }

  collect(ids: IdsStatus | undefined): void {
    const { metrics, sinks, packets } = this.parts;
    for (const { name, sent, failed, dropped } of sinks.status()) {
      metrics.setTotal(metrics.alertsSinkSent, { sink: name }, sent);
      metrics.setTotal(metrics.alertsSinkFailed, { sink: name }, failed);
      metrics.setTotal(metrics.alertsSinkDropped, { sink: name }, dropped);
    }
    if (ids !== undefined) {
      metrics.setTotal(metrics.idsAlertsDropped, {}, ids.store.dropped);
      metrics.setTotal(metrics.idsWindowsForgotten, {}, ids.store.forgotten);
    }
    if (packets !== undefined) {
      const { usedBytes, dropped } = packets.status();
      metrics.idsPacketBytes.set(usedBytes);
      metrics.setTotal(metrics.idsPacketsMissed, {}, dropped);
    }
  }
}
