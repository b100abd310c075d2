/**
 * DNS replies that wait until what they say is in force: a workload that connects as soon as it has its answer finds the address
 * known. The kernel drops such a reply and gives us a copy, which goes to the workload's interface later. It holds replies only as long
 * as we renew that we are here.
 */
import { withUdpChecksum } from '../dns/checksum.js';
import type { DnsDriver } from '../drivers/nftables/dns-driver.js';
import { HELD_PREFIX } from '../drivers/nftables/dns-layout.js';
import { describeError } from '../model/errors.js';
import { decodePacket, ETHERTYPE_IPV4 } from '../model/packet-headers.js';
import type { NflogPacket, PacketSender } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';

export interface HeldRepliesOptions {
  readonly driver: Pick<DnsDriver, 'hold'>;
  readonly sender: PacketSender;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A third of the time that the kernel holds without hearing from us. */
const RENEW_MS = 1_000;
/** As in Antrea: a reply whose address cannot be realized in this time never comes. */
const PATIENCE_MS = 2_000;

export class HeldReplies {
  private interfaces: readonly string[] = [];
  private cancelRenewal: (() => void) | undefined;
  private renewing: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly options: HeldRepliesOptions) {}

  /** Replies to these interfaces are held from now on; the table must be there. */
  async follow(interfaces: readonly string[]): Promise<void> {
    this.interfaces = interfaces;
    this.cancelRenewal?.();
    await this.renew();
  }

  /** Hands the held ones among the packets on when `realized` is done; never, when it fails or takes too long. */
  release(packets: readonly NflogPacket[], realized: Promise<void> | undefined): void {
    const held = packets.filter(({ prefix }) => prefix === HELD_PREFIX);
    if (held.length === 0) return;
    if (realized === undefined) this.send(held);
    else {
      let late = false;
      const cancel = this.options.clock.after(PATIENCE_MS, () => {
        late = true;
        this.options.log.warn('dns.reply_lost', { replies: held.length, error: `what they say was not in force after ${PATIENCE_MS} ms` });
      });
      realized.then(
        () => {
          cancel();
          if (!late) this.send(held);
        },
        (error: unknown) => {
          cancel();
          if (!late) this.options.log.warn('dns.reply_lost', { replies: held.length, error: describeError(error) });
        },
      );
    }
  }

  /** Replies pass from now on. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelRenewal?.();
    await this.renewing;
    if (this.interfaces.length > 0) await this.hold([]);
    this.options.sender.close();
  }

  private async renew(): Promise<void> {
    if (this.stopped || this.interfaces.length === 0) return;
    this.renewing = this.hold(this.interfaces);
    await this.renewing;
    if (this.stopped) return;
    this.cancelRenewal?.();
    this.cancelRenewal = this.options.clock.after(RENEW_MS, () => void this.renew());
  }

  /** A failure lets replies pass in time: nothing waits for us. */
  private async hold(interfaces: readonly string[]): Promise<void> {
    try {
      await this.options.driver.hold(interfaces);
    } catch (error) {
      this.options.log.warn('dns.not_holding', { error: describeError(error) });
    }
  }

  private send(packets: readonly NflogPacket[]): void {
    for (const { ethertype, payload, outdev } of packets) {
      const { transportOffset } = decodePacket(ethertype, payload);
      if (transportOffset === undefined || payload.length < transportOffset + 8) continue;
      try {
        this.options.sender.send({ interfaceIndex: outdev, ethertype, packet: withUdpChecksum(payload, ethertype === ETHERTYPE_IPV4, transportOffset) });
      } catch (error) {
        this.options.log.warn('dns.reply_lost', { replies: 1, error: describeError(error) });
      }
    }
  }
}
