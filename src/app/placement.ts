/** Which filters are on ports of Linux bridges, and what each of the kernel's two tables of rules is to hold therefore. */
import type { Target, TargetFilter } from '../compile/target.js';
import type { Link } from '../native/binding.js';

/** As compile/compiler.ts has realms: of filters on Linux bridges. No rule table's name begins so. */
export const BRIDGE_REALM = '/';

export interface PlacedTargets {
  /** For what the host routes. */
  readonly routed: Target;
  readonly bridged: Target;
}

export class Placement {
  /** By interface: its bridge. */
  private bridges: ReadonlyMap<string, string> = new Map();

  /** An interface that is not there stays where it was last, so that a reboot of its workload changes nothing. */
  update(interfaces: Iterable<string>, links: ReadonlyMap<string, Link>): void {
    const byIndex = new Map([...links.values()].map((link) => [link.index, link]));
    const bridges = new Map<string, string>();
    for (const name of interfaces) {
      const link = links.get(name);
      const master = link === undefined || link.master === 0 ? undefined : byIndex.get(link.master);
      const bridge = link === undefined ? this.bridges.get(name) : master?.kind === 'bridge' ? master.name : undefined;
      if (bridge !== undefined) bridges.set(name, bridge);
    }
    this.bridges = bridges;
  }

  /** Name of the Linux bridge that the interface is, or last was, a port of. */
  bridgeOf(name: string): string | undefined {
    return this.bridges.get(name);
  }

  /** Interfaces on bridges. */
  get ports(): Iterable<string> {
    return this.bridges.keys();
  }

  /** Each table knows all filters, but without a rule table where they are the other's: shut there, for an interface that is moved before we know. */
  split(target: Target): PlacedTargets {
    if (this.bridges.size === 0) return { routed: target, bridged: { tables: new Map(), filters: emptied(target, () => false) } };
    const onBridge = (name: string): boolean => this.bridges.has(name);
    const part = (filters: ReadonlyMap<string, TargetFilter>): Target => {
      const used = new Set([...filters.values()].map(({ table }) => table));
      return { filters, tables: new Map([...target.tables].filter(([key]) => used.has(key))) };
    };
    return {
      routed: { ...part(emptied(target, (name) => !onBridge(name))), bridges: new Set(this.bridges.values()) },
      bridged: part(emptied(target, onBridge)),
    };
  }
}

function emptied({ filters }: Target, keeps: (name: string) => boolean): ReadonlyMap<string, TargetFilter> {
  return new Map([...filters].map(([name, filter]) => [name, keeps(name) || filter.table === undefined ? filter : { ...filter, table: undefined }]));
}
