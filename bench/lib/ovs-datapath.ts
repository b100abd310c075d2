/** The agent's own way from object changes to the flows of a bridge, in this process. */
import { Compiler } from '../../src/compile/compiler.js';
import { WorldState, type ObjectChange } from '../../src/compile/world.js';
import { OvsDriver, type Applied } from '../../src/drivers/ovs/driver.js';
import { ALONE } from '../../src/drivers/ovs/pipeline/placement.js';
import { BridgeConnection } from '../../src/drivers/ovs/session.js';
import type { FrameFilter, OvsTarget } from '../../src/drivers/ovs/target.js';
import { UnixctlClient } from '../../src/drivers/ovs/tracker/unixctl.js';
import { objectKey, type DesiredObject } from '../../src/model/objects.js';
import { systemClock } from '../../src/platform/clock.js';
import { CountedNumbers } from '../model/desired.js';
import { BRIDGE } from './bench-switch.js';
import { QUIET } from './datapath.js';

const CONTROLLER = 0xdf77;
const CONNECT_MS = 20_000;

export class OvsDatapath {
  readonly driver: OvsDriver;
  private readonly bridge: BridgeConnection;
  private readonly control: UnixctlClient;
  private readonly compiler = new Compiler();
  private readonly world = new WorldState(new CountedNumbers());
  private readonly objects = new Map<string, DesiredObject>();
  private readonly stopping = new AbortController();

  /** `directory` is where the switch's sockets are. */
  constructor(directory: string) {
    const log = QUIET;
    const clock = systemClock;
    this.bridge = new BridgeConnection({
      path: `${directory}/${BRIDGE}.mgmt`, bridge: BRIDGE, controller: CONTROLLER, place: ALONE, clock, log, onDue: () => undefined, onGone: () => undefined, onPacket: () => undefined,
    });
    this.control = new UnixctlClient({ directory, program: 'ovs-vswitchd', clock });
    this.driver = new OvsDriver({
      session: () => this.bridge.session(), clock, log, bridge: BRIDGE, controller: CONTROLLER, tracksSctp: () => false,
      nextRound: async () => void (await this.control.call('revalidator/wait', [])),
    });
  }

  /** Resolves when connected. */
  async start(): Promise<void> {
    this.bridge.start(this.stopping.signal);
    const deadline = Date.now() + CONNECT_MS;
    while (!this.bridge.state.connected) {
      if (Date.now() > deadline) throw new Error(`no connection to the switch: ${this.bridge.state.reason}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Objects as they are now; those that were given before and are not named stay. Throws when any table was held. */
  target(objects: readonly DesiredObject[]): OvsTarget {
    const changes = objects.map((after): ObjectChange => {
      const key = objectKey(after);
      const before = this.objects.get(key);
      this.objects.set(key, after);
      return before === undefined ? { key, after } : { key, before, after };
    });
    const world = this.world.update(changes);
    const compilation = this.compiler.compile(world);
    const [problem] = [...world.problems, ...compilation.problems];
    if (problem !== undefined) throw new Error(`${problem.object}: ${problem.message}`);
    const filters = new Map(world.filters.map((filter) => [filter.interface, {
      number: filter.number, interface: filter.interface, table: compilation.filterTables.get(filter.name), failOpen: false, reachesItself: filter.workload.kind === 'Pod',
    }]));
    const frames = new Map(world.filters.map(({ interface: name, mac }): [string, FrameFilter] => [name, { mac, addresses: [], layer2: [], mirrors: { in: [], out: [] }, redirects: { in: [], out: [] }, guard: undefined }]));
    return { filters, frames, tables: compilation.tables, taps: new Set(), returns: new Set(), tunnels: [] };
  }

  /** Objects to the switch: resolves when the bundle is committed. */
  apply(objects: readonly DesiredObject[]): Promise<Applied> {
    return this.driver.apply(this.target(objects));
  }
}
