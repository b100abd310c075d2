/** The agent's own way from object changes to the kernel, policies included, in this process and its network namespace. */
import { Compiler, type Compilation } from '../../src/compile/compiler.js';
import { PolicyEngine } from '../../src/compile/policy/policy-engine.js';
import { WorldState, type ObjectChange } from '../../src/compile/world.js';
import { NftablesDriver, type Applied } from '../../src/drivers/nftables/driver.js';
import type { NftSocket } from '../../src/native/binding.js';
import { CountedNumbers } from '../model/desired.js';
import { native, QUIET } from './datapath.js';

export class PolicyDatapath {
  readonly engine: PolicyEngine;
  private readonly world: WorldState;
  private readonly compiler = new Compiler();
  private readonly driver: NftablesDriver;
  private readonly socket: NftSocket;

  constructor() {
    const { NftSocket: Socket } = native();
    this.socket = new Socket();
    this.driver = new NftablesDriver({ socket: this.socket, log: QUIET, logGroup: 223 });
    this.engine = new PolicyEngine({ numbers: new CountedNumbers(), namesOf: () => [] });
    this.world = new WorldState(new CountedNumbers());
  }

  compile(changes: readonly ObjectChange[]): { readonly compilation: Compilation; apply(): Promise<Applied> } {
    const world = this.world.update(changes);
    this.engine.update(changes, world.filters);
    const compilation = this.compiler.compile(world, (filter) => this.engine.tables(filter));
    const filters = new Map(world.filters.map((filter) => [
      filter.interface, { number: filter.number, interface: filter.interface, table: compilation.filterTables.get(filter.name), failOpen: false, reachesItself: filter.workload.kind === 'Pod' },
    ]));
    return { compilation, apply: () => this.driver.apply({ tables: compilation.tables, filters }) };
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
