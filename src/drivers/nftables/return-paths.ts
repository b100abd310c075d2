/** Where redirected frames that come back by a device go on. Programs at the devices' ingress; they outlive the agent. */
import { describeError } from '../../model/errors.js';
import type { ReturnPaths } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';

export interface ReturnPath {
  /** Canonical MAC address of the workload. */
  readonly mac: string;
  /** `out`: frames that it sent; the interface receives them again. `in`: frames that it gets. */
  readonly side: 'in' | 'out';
  readonly interfaceIndex: number;
}

interface Known {
  readonly wanted: readonly ReturnPath[];
  readonly text: string;
  readonly program: number;
  /** Nobody has wanted it since the last apply. */
  readonly left: boolean;
}

export class ReturnPathDriver {
  private readonly known = new Map<number, Known>();
  private refusedWith: string | undefined;
  private adopted = false;

  constructor(private readonly deps: { readonly kernel: Pick<ReturnPaths, 'set' | 'read' | 'remove'>; readonly mark: number; readonly log: Logger }) {}

  /** Why the kernel would not have what was last wanted; undefined: it has. */
  get refusal(): string | undefined {
    return this.refusedWith;
  }

  /** Something is kept for frames that may be on their way: another apply is due in a while. */
  get leaving(): boolean {
    return [...this.known.values()].some(({ left }) => left);
  }

  /**
   * To be called before frames are redirected by what is wanted, by interface index of the device that they come back by. What was wanted before holds on
   * until the next change, or the apply after the one that wants nothing of a device: its frames may be on their way. Resolves to whether anything was written. `devices`: all of the host, where
   * a former process may have left something; looked at once. Never rejects: `refusal` says what went wrong.
   */
  async apply(wanted: ReadonlyMap<number, readonly ReturnPath[]>, devices: readonly number[]): Promise<boolean> {
    let changed = false;
    this.refusedWith = undefined;
    try {
      await this.adopt(devices);
    } catch (error) {
      this.refusedWith = `the kernel does not say what comes back where: ${describeError(error)}`;
      return false;
    }
    for (const [device, paths] of wanted) {
      const before = this.known.get(device);
      const text = JSON.stringify(paths);
      if (before?.text === text) {
        if (before.left) this.known.set(device, { ...before, left: false });
        continue;
      }
      try {
        const program = await this.deps.kernel.set(device, { mark: this.deps.mark, entries: packed([...(before?.wanted ?? []), ...paths]) });
        this.known.set(device, { wanted: paths, text, program, left: false });
        this.deps.log.info('return_path.set', { device, workloads: new Set(paths.map(({ mac }) => mac)).size, program });
        changed = true;
      } catch (error) {
        this.refusedWith = `the kernel does not take the way back (cls_bpf; CAP_BPF is needed): ${describeError(error)}`;
        this.deps.log.warn('return_path.refused', { device, error: describeError(error) });
      }
    }
    for (const [device, entry] of this.known) {
      if (wanted.has(device)) continue;
      if (entry.left) changed = (await this.remove(device)) || changed;
      else this.known.set(device, { ...entry, left: true });
    }
    return changed;
  }

  /** Somebody removed or replaced one, or its device is another now: the next apply sets it again. */
  async drifted(): Promise<string | undefined> {
    for (const [device, { program }] of this.known) {
      if ((await this.deps.kernel.read(device)) === program) continue;
      this.known.delete(device);
      return `the way back of redirected traffic by interface ${device} is gone`;
    }
    return undefined;
  }

  async cleanup(devices: readonly number[]): Promise<void> {
    await this.adopt(devices);
    for (const device of this.known.keys()) await this.remove(device);
  }

  private async adopt(devices: readonly number[]): Promise<void> {
    if (this.adopted) return;
    for (const device of devices) {
      const program = await this.deps.kernel.read(device);
      // What it says is not read back: it is written anew where it is wanted, and kept for a while where not.
      if (program !== 0) this.known.set(device, { wanted: [], text: '', program, left: false });
    }
    this.adopted = true;
  }

  private async remove(device: number): Promise<boolean> {
    this.known.delete(device);
    try {
      await this.deps.kernel.remove(device);
      return true;
    } catch (error) {
      // With its device it is gone in any case.
      this.deps.log.debug('return_path.remove_failed', { device, error: describeError(error) });
      return false;
    }
  }
}

const ENTRY_BYTES = 12;

/** Of two for one address and side the later counts. */
function packed(paths: readonly ReturnPath[]): Uint8Array {
  const entries = [...new Map(paths.map((path) => [`${path.mac} ${path.side}`, path])).values()];
  const bytes = new Uint8Array(entries.length * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { mac, side, interfaceIndex }] of entries.entries()) {
    bytes.set([...mac.split(':').map((part) => Number.parseInt(part, 16)), side === 'out' ? 0 : 1], index * ENTRY_BYTES);
    view.setUint32(index * ENTRY_BYTES + 8, interfaceIndex, true);
  }
  return bytes;
}
