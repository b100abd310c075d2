/**
 * How eagerly the garbage of this process is collected. It runs with --optimize-for-size (bin/dfw-agent), which keeps it small at rest; while
 * a large state is being read for the first time, that costs as much time as all the rest: V8 collects everything again and again, after every two megabytes.
 */
import { setFlagsFromString } from 'node:v8';

export interface Heap {
  /** The heap may grow from now on, until what this returns is called (harmless twice). */
  roomy(): () => void;
}

/** Looked at by V8 whenever it decides how far its heap may grow; nothing else that it decides once hangs on it. */
const FLAG = 'optimize-for-size';

export class V8Heap implements Heap {
  private roomyFor = 0;

  /** `economical`: the process was started with the flag; without it, nothing is ever changed. */
  constructor(private readonly economical: boolean, private readonly setFlags: (flags: string) => void = setFlagsFromString) {}

  roomy(): () => void {
    if (!this.economical) return () => undefined;
    if (this.roomyFor++ === 0) this.setFlags(`--no-${FLAG}`);
    let held = true;
    return () => {
      if (held && --this.roomyFor === 0) this.setFlags(`--${FLAG}`);
      held = false;
    };
  }
}
