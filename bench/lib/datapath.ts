/** The agent's own compiler and nftables driver in this process, for the network namespace it runs in. */
import { Compiler } from '../../src/compile/compiler.js';
import { buildWorld, type World } from '../../src/compile/world.js';
import { NftablesDriver, type Applied } from '../../src/drivers/nftables/driver.js';
import type { Target } from '../../src/compile/target.js';
import type { DesiredObject } from '../../src/model/objects.js';
import type { NativeBinding, NftSocket } from '../../src/native/binding.js';
import { loadNative } from '../../src/native/load.js';
import type { Logger } from '../../src/platform/logger.js';
import { fileURLToPath } from 'node:url';
import { CountedNumbers } from '../model/desired.js';

/** The checkout: the benchmarks are compiled to .cache/bench/build/bench/lib. */
export const ROOT = fileURLToPath(new URL('../../../../..', import.meta.url));

export const QUIET: Logger = {
  error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined,
  child: () => QUIET,
};

export function native(): NativeBinding {
  return loadNative({ root: ROOT });
}

export class Datapath {
  readonly compiler = new Compiler();
  readonly driver: NftablesDriver;
  private readonly socket: NftSocket;
  private readonly numbers = new CountedNumbers();

  constructor() {
    const { NftSocket: Socket } = native();
    this.socket = new Socket();
    this.driver = new NftablesDriver({ socket: this.socket, log: QUIET, logGroup: 223 });
  }

  world(objects: ReadonlyMap<string, DesiredObject>): World {
    return buildWorld(objects, this.numbers);
  }

  /** Compiles; throws when any table was held. */
  target(world: World): Target {
    const compilation = this.compiler.compile(world);
    const [problem] = compilation.problems;
    if (problem !== undefined) throw new Error(`${problem.object}: ${problem.message}`);
    return {
      tables: compilation.tables,
      filters: new Map(world.filters.map((filter) => [
        filter.interface, { number: filter.number, interface: filter.interface, table: compilation.filterTables.get(filter.name), failOpen: false, reachesItself: filter.workload.kind === 'Pod' },
      ])),
    };
  }

  /** Desired objects to the kernel. */
  async apply(objects: ReadonlyMap<string, DesiredObject>): Promise<Applied> {
    return this.driver.apply(this.target(this.world(objects)));
  }

  /** No connection exists in a fresh namespace: what waits for a sweep is settled at once. */
  async settle(): Promise<void> {
    const sweep = this.driver.pendingSweep();
    if (sweep !== undefined) await this.driver.settle(sweep);
  }

  close(): void {
    this.socket.close();
  }
}

export function milliseconds(since: bigint): number {
  return Number(process.hrtime.bigint() - since) / 1e6;
}
