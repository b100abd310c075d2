/**
 * A start may have to wait for others without end: a source that is away and of which nothing is stored, a kernel that refuses for now. The
 * service manager is told so meanwhile: it would take such a start for one that hangs and begin it again.
 */
import type { Clock } from '../platform/clock.js';
import type { ServiceNotifier } from '../platform/sd-notify.js';

/** A wait that is told of; shorter ones are of no interest. */
const FIRST_MS = 1_000;
const NEXT_MS = 10_000;
/** Who tells nothing for so long hangs. */
const EXTENSION_MS = 60_000;

export class StartWait {
  constructor(private readonly notifier: ServiceNotifier, private readonly clock: Clock) {}

  /** Tells that it is being waited until `work` has ended; resolves and rejects as that does. `reason`: for people, asked each time. */
  async during<Result>(work: Promise<Result>, reason: () => string): Promise<Result> {
    const tell = (): void => {
      this.again(reason());
      cancel = this.clock.after(NEXT_MS, tell);
    };
    let cancel = this.clock.after(FIRST_MS, tell);
    try {
      return await work;
    } finally {
      cancel();
    }
  }

  /** Something failed and is tried again, soon. */
  again(reason: string): void {
    this.notifier.waiting(reason, EXTENSION_MS);
  }
}
