import type { Logger } from '../../platform/logger.js';
import type { AlertView } from '../../model/views.js';
import type { EndedFlow, NflogPacket } from '../../native/binding.js';
import {
  formatAlert, formatLost, formatMatch, formatQuarantine, formatSuppressed, formatTerm, terminationOf,
  type AuditAction, type AuditDirection, type AuditFormat, type AuditRule, type QuarantineLine,
} from './audit-line.js';
import { LineFile, type LineFileStatus, type OpenAppend } from '../../platform/line-file.js';
import { LineLimiter } from './line-limiter.js';
import { decodePacket } from '../../model/packet-headers.js';

/** The rule that decided a logged packet. */
export interface LoggedRule {
  readonly table: string;
  readonly ruleId: number;
  readonly direction: AuditDirection;
  readonly action: AuditAction;
  readonly tag?: string;
}
/** A logged packet, from its network header on. */
export interface DecidedPacket {
  readonly ethertype: number;
  /** Of the whole packet from its network header, also where the payload is cut. */
  readonly length: number;
  readonly payload: Uint8Array;
  /** When it was decided; 0 = now. */
  readonly timestampMs: number;
}
/** What the audit log asks of the rest of the agent. All are called often and must be cheap. */
export interface AuditLookups {
  /** undefined when the packet was not logged by a rule of ours. */
  parsePrefix(prefix: string): LoggedRule | undefined;
  /** Hash of the filter whose packet this is: by output interface for "in", input interface for "out"; 0 = none. undefined when unknown. */
  filterByInterface(direction: AuditDirection, indev: number, outdev: number): number | undefined;
  /**
   * The logging rule behind a label id of an ended connection, and the filter at whose side it stood. undefined when that
   * rule does not log (any more).
   */
  endedRule(labelId: number, direction: AuditDirection, ended: EndedFlow): { readonly rule: AuditRule; readonly filterHash: number | undefined } | undefined;
  /** Hash of a filter by name; undefined when it is gone. */
  filterByName(name: string): number | undefined;
}
export interface AuditOptions {
  readonly path: string;
  readonly format: AuditFormat;
  /** Lines a second and rule; default 100, bursts of 200. */
  readonly rate?: number;
  readonly burst?: number;
}
export interface AuditDependencies {
  readonly lookups: AuditLookups;
  readonly now: () => number;
  readonly log: Logger;
  /** Counter dfw_audit_suppressed_total. */
  readonly onSuppressed: (lines: number) => void;
  /** For tests with a slow or full disk; absent = real files. */
  readonly openFile?: OpenAppend;
}
export interface AuditStatus extends LineFileStatus {
  readonly suppressed: number;
  /** Logged packets that no rule of ours (any more) decided. */
  readonly foreign: number;
}

const RATE = 100;
const BURST = 200;
const REPORT_EVERY_MS = 10_000;
/** A label word without a rule. */
const NO_LABEL = 0;

/**
 * The audit log (dfwpktlogs): one line a packet that a rule with logging decided, one when a connection that such a rule
 * admitted ends, one an IDS alert. Lines of a rule past its rate are counted and said every ten seconds. Memory is bounded;
 * a file that cannot be written shows in status() and costs lines, never packets.
 */
export class AuditLog {
  readonly #file: LineFile;
  readonly #limiter: LineLimiter;
  readonly #options: AuditOptions;
  readonly #dependencies: AuditDependencies;
  #timer: NodeJS.Timeout | undefined;
  #suppressed = 0;
  #foreign = 0;
  #reportedLost = 0;

  constructor(options: AuditOptions, dependencies: AuditDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#limiter = new LineLimiter({ rate: options.rate ?? RATE, burst: options.burst ?? BURST });
    this.#file = new LineFile(options.path, dependencies.openFile, (reason) => {
      if (reason === '') dependencies.log.info('audit.writable', { path: options.path });
      else dependencies.log.error('audit.unwritable', { path: options.path, reason });
    });
  }

  /** Makes the directory and opens the file; an error shows in status() and is retried. */
  async start(): Promise<void> {
    await this.#file.open();
    this.#timer ??= setInterval(() => this.#report(), REPORT_EVERY_MS).unref();
  }

  /** Says what was suppressed, writes what waits, closes. Lines that come later are lost. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#report();
    await this.#file.close();
  }

  /** After a rotation by rename (USR1): the next line goes to a new file of the configured name. */
  reopen(): void {
    this.#file.reopen();
  }

  status(): AuditStatus {
    return { ...this.#file.status(), suppressed: this.#suppressed, foreign: this.#foreign };
  }

  /** One batch of NflogReader. */
  onPackets(packets: readonly NflogPacket[]): void {
    const { lookups } = this.#dependencies;
    for (const packet of packets) {
      const rule = lookups.parsePrefix(packet.prefix);
      this.onDecided(rule, packet, () => (rule === undefined ? undefined : lookups.filterByInterface(rule.direction, packet.indev, packet.outdev)));
    }
  }

  /** One packet and the rule that decided it; undefined: it is gone, or never was ours. The hash of the filter is asked for only when the packet gets a line. */
  onDecided(rule: LoggedRule | undefined, packet: DecidedPacket, filterHash: () => number | undefined): void {
    if (rule === undefined) {
      this.#foreign += 1;
      return;
    }
    if (!this.#admit(rule)) return;
    const line = formatMatch(
      {
        timeMs: packet.timestampMs > 0 ? packet.timestampMs : this.#dependencies.now(),
        filterHash: filterHash(), rule, reason: 'match', length: packet.length, headers: decodePacket(packet.ethertype, packet.payload),
      },
      this.#options.format,
    );
    this.#file.append(line);
  }

  /** One batch of FlowTable.watchEnds: a TERM line for each side whose rule logs. */
  onEnded(flows: readonly EndedFlow[]): void {
    for (const flow of flows) {
      this.#onEnd(flow, flow.ruleIdOut, 'out');
      this.#onEnd(flow, flow.ruleIdIn, 'in');
    }
  }

  onAlert(alert: AlertView): void {
    const filterHash = alert.filter === undefined ? undefined : this.#dependencies.lookups.filterByName(alert.filter);
    this.#file.append(formatAlert(alert, filterHash, this.#options.format));
  }

  onQuarantine(event: Omit<QuarantineLine, 'timeMs'>): void {
    this.#file.append(formatQuarantine({ timeMs: this.#dependencies.now(), ...event }, this.#options.format));
  }

  #onEnd(ended: EndedFlow, labelId: number, direction: AuditDirection): void {
    if (labelId === NO_LABEL) return;
    const found = this.#dependencies.lookups.endedRule(labelId, direction, ended);
    if (found === undefined || !this.#admit(found.rule)) return;
    const { protocol, source, destination, sourcePort, destinationPort, packets, bytes } = ended;
    const termination = terminationOf(protocol, ended.tcpState);
    const timeMs = this.#dependencies.now();
    const event = { timeMs, ...found, protocol, source, destination, sourcePort, destinationPort, termination, packets, bytes };
    this.#file.append(formatTerm(event, this.#options.format));
  }

  #admit(rule: { readonly table: string; readonly ruleId: number }): boolean {
    if (this.#limiter.admit(rule, this.#dependencies.now())) return true;
    this.#suppressed += 1;
    this.#dependencies.onSuppressed(1);
    return false;
  }

  #report(): void {
    const now = this.#dependencies.now();
    const { format } = this.#options;
    for (const { rule, lines } of this.#limiter.report(now)) this.#file.append(formatSuppressed(now, lines, rule, format));
    const { lost } = this.#file.status();
    if (lost > this.#reportedLost && this.#file.append(formatLost(now, lost - this.#reportedLost, format))) this.#reportedLost = lost;
  }
}
