/**
 * Whether the API server's past is still the one that was read. After a backup was restored, everything is read again: what was known may
 * never have been. Shared by all resources, because etcd counts the changes of all of them. Pure.
 */
import { wentBack } from './revisions.js';

export class ServerHistory {
  private current = 0;
  private highest = '';

  /** `onBack`: everything that was read in an earlier epoch must be read again. */
  constructor(private readonly onBack: () => void) {}

  /** What was read in another one counts for nothing. */
  get epoch(): number {
    return this.current;
  }

  seen(revision: string): void {
    if (this.highest === '' || wentBack(revision, this.highest)) this.highest = revision;
  }

  /** How far the server is known to be, before it is asked something. */
  get mark(): string {
    return this.highest;
  }

  /** The server says, to a question asked at `mark`, that it is at this revision. True when it had been further. What others see meanwhile says nothing: the answer may be older than that. */
  isBehind(revision: string, mark: string): boolean {
    return wentBack(mark, revision);
  }

  /** Somebody who read in `epoch` has found that the server went back. Those who read since have no news. */
  back(epoch: number, revision: string): void {
    if (epoch !== this.current) return;
    this.current++;
    this.highest = revision;
    this.onBack();
  }
}
