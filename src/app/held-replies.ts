/**
 * DNS replies that wait until what they say is in force: a workload that connects as soon as it has its answer finds the address
 * known. The datapath gives such a reply to us instead, and we let it go later. It holds replies only as long as we renew that we are here.
 */
import { describeError } from '../model/errors.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { ReplyWatch, SeenReply } from './reply-watch.js';

export interface HeldRepliesOptions {
  readonly watch: Pick<ReplyWatch, 'hold'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A third of the time that the datapath holds without hearing from us. */
const RENEW_MS = 1_000;
/** As in Antrea: a reply whose address cannot be realized in this time never comes. */
const PATIENCE_MS = 2_000;

export class HeldReplies {
  private interfaces: readonly string[] = [];
  private cancelRenewal: (() => void) | undefined;
  private renewing: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly options: HeldRepliesOptions) {}

  /** Replies to these interfaces are held from now on; the datapath must show them. */
  async follow(interfaces: readonly string[]): Promise<void> {
    this.interfaces = interfaces;
    this.cancelRenewal?.();
    await this.renew();
  }

  /** Hands the held ones among the replies on when `realized` is done; never, when it fails or takes too long. */
  release(replies: readonly SeenReply[], realized: Promise<void> | undefined): void {
    const held = replies.flatMap(({ letGo }) => letGo ?? []);
    if (held.length === 0) return;
    if (realized === undefined) this.letGo(held);
    else {
      let late = false;
      const cancel = this.options.clock.after(PATIENCE_MS, () => {
        late = true;
        this.options.log.warn('dns.reply_lost', { replies: held.length, error: `what they say was not in force after ${PATIENCE_MS} ms` });
      });
      realized.then(
        () => {
          cancel();
          if (!late) this.letGo(held);
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
      await this.options.watch.hold(interfaces);
    } catch (error) {
      this.options.log.warn('dns.not_holding', { error: describeError(error) });
    }
  }

  private letGo(held: readonly (() => void)[]): void {
    for (const letGo of held) {
      try {
        letGo();
      } catch (error) {
        this.options.log.warn('dns.reply_lost', { replies: 1, error: describeError(error) });
      }
    }
  }
}
