/**
 * Egresses: which address each has (compile/egress), which node has the address (drivers/egress/ownership), and what this node does about it
 * (drivers/nftables/egress-driver, drivers/egress/tunnel). A loop of its own: rules never wait for it.
 */
import type { EgressInventory, EgressSelection } from '../compile/egress/inventory.js';
import { egressPlan, type EgressPlan } from '../compile/egress/plan.js';
import type { ObjectChange, Problem } from '../compile/world.js';
import type { InterfaceAddresses } from '../drivers/egress/interface-addresses.js';
import type { Ownership, WantedAddress } from '../drivers/egress/ownership.js';
import { TUNNEL_ADDRESS, type Tunnel } from '../drivers/egress/tunnel.js';
import type { EgressDriver, EgressImage } from '../drivers/nftables/egress-driver.js';
import { familyOf } from '../model/family.js';
import { selectorIsEmpty, selectorMatches } from '../model/selector.js';
import type { NativeBinding, RouteAnswer } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { ReconcileLoop } from '../reconcile/loop.js';

export interface EgressParts {
  readonly node: string;
  readonly inventory: EgressInventory;
  readonly ownership: Ownership;
  readonly addresses: InterfaceAddresses;
  readonly tunnel: Tunnel;
  readonly driver: EgressDriver;
  readonly loop: ReconcileLoop;
  readonly layout: Pick<EgressImage, 'device' | 'port' | 'mask'>;
  /** Prefixes of the configuration. */
  readonly except: readonly string[];
  /** Pods that have a filter on this host. */
  readonly isHere: (namespace: string, name: string) => boolean;
  /** How this host would send to an address. */
  readonly routeTo: (address: string) => Promise<RouteAnswer | undefined>;
  readonly endOtherTranslations: NativeBinding['endOtherTranslations'];
  /** Keeps which addresses Egresses were given. */
  readonly remember: (given: ReadonlyMap<string, string>) => Promise<void>;
  /** Begins to tell what becomes of Egresses where they come from; until the signal. */
  readonly statuses: (signal: AbortSignal) => void;
  /** Closes the sockets. */
  readonly close: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Said of pools with spec.subnetInfo: a node would need an interface and a way out in that network. */
const OWN_SUBNET = 'spec.subnetInfo is not supported by this version: no address of the pool is used';

/** Pod → address that its packets have behind this host. */
type Translations = ReadonlyMap<string, string>;

export class Egress {
  private image = '';
  private begun = false;
  private translations: Translations = new Map();
  private failure: string | undefined;
  /** Local pods that this host does not route: their packets go another way. */
  private passing: readonly string[] = [];

  constructor(private readonly parts: EgressParts) {}

  /** Takes up what changed; returns it as the rest of the agent shall see it, with the addresses that pools gave. */
  change(changes: readonly ObjectChange[]): readonly ObjectChange[] {
    const { inventory, loop, ownership } = this.parts;
    const before = inventory.selection;
    const rewritten = inventory.update(changes);
    if (inventory.selection === before) return rewritten;
    loop.markDirty('objects');
    ownership.soon();
    return rewritten;
  }

  /** Filters came or went: what is on this host. */
  filtersChanged(): void {
    if (this.parts.inventory.inUse) this.parts.loop.markDirty('filters');
  }

  start(signal: AbortSignal): void {
    this.parts.loop.start(signal);
    this.parts.ownership.start(signal);
    this.parts.loop.markDirty('start');
    this.parts.statuses(signal);
  }

  /** What is held stays until its time: a process that comes soon goes on with it. */
  async stopped(): Promise<void> {
    await this.parts.ownership.stopping();
    await this.parts.loop.stopped();
    this.parts.close();
  }

  /** Resolves when what is known now is in force, as far as this node can see to it; rejects with the reason why not. */
  settled(): Promise<void> {
    return this.parts.loop.flush('sync');
  }

  /** Addresses that come and go with Egresses: they say nothing about the host. */
  isLeased(address: string): boolean {
    return address === TUNNEL_ADDRESS || this.parts.driver.guards(address);
  }

  get selection(): EgressSelection {
    return this.parts.inventory.selection;
  }

  get node(): string {
    return this.parts.node;
  }

  get ownership(): Ownership {
    return this.parts.ownership;
  }

  /** Of objects: address taken, pool full. */
  get problems(): readonly Problem[] {
    return this.selection.allocation.problems;
  }

  /** What is not as it should be on this node. */
  get degraded(): readonly string[] {
    const { ownership, addresses, inventory } = this.parts;
    if (!inventory.inUse) return [];
    const { pools } = this.selection;
    return [
      ...pools.filter(({ ownSubnet }) => ownSubnet === true).map(({ metadata }) => `ExternalIPPool/${metadata.name}: ${OWN_SUBNET}`),
      ...ownership.problems.map((problem) => `egress: ${problem}`), ...[...addresses.problems].map(([address, reason]) => `egress: ${address}: ${reason}`),
      ...(this.passing.length === 0 ? [] : [`egress: this host does not route ${this.passing.slice(0, 5).join(', ')}${this.passing.length > 5 ? ` and ${this.passing.length - 5} more` : ''}: what these pods send does not pass it, and leaves as it is`]),
      ...(this.failure === undefined ? [] : [`egress: ${this.failure}`]),
    ];
  }

  /** Why an address is not in use; undefined when it is. */
  pending(name: string): string | undefined {
    const { addresses, ownership, node } = this.parts;
    const { allocation } = this.selection;
    const address = allocation.addresses.get(name);
    if (address === undefined) return allocation.problems.find(({ object }) => object === `Egress/${name}`)?.message ?? 'no address';
    const holder = ownership.holders?.get(address);
    if (holder === undefined) {
      const egress = this.selection.egresses.find(({ metadata }) => metadata.name === name);
      if (this.selection.pools.some((pool) => pool.ownSubnet === true && pool.metadata.name === egress?.externalIpPool)) return OWN_SUBNET;
      return egress?.externalIpPool === undefined ? `no node has ${address} on an interface` : `no node has ${address}`;
    }
    if (holder.node !== node) return undefined;
    return addresses.problems.get(address) ?? ((ownership.held.get(address) ?? 0) > this.parts.clock.monotonic() ? undefined : 'the lease has ended');
  }

  /** Which addresses this node may have, asked at every round. */
  wanted(): readonly WantedAddress[] {
    const { node, addresses } = this.parts;
    const { egresses, pools, nodes, allocation } = this.selection;
    return egresses.flatMap((egress): WantedAddress[] => {
      const address = allocation.addresses.get(egress.metadata.name);
      if (address === undefined) return [];
      const pool = pools.find(({ metadata }) => metadata.name === egress.externalIpPool);
      // Without a pool somebody has put the address on an interface: there it is.
      if (pool === undefined) return [{ address, eligible: (name) => name === node && addresses.fixed.has(address) }];
      const { nodeSelector, ownSubnet } = pool;
      if (ownSubnet === true) return [{ address, eligible: () => false }];
      if (selectorIsEmpty(nodeSelector)) return [{ address, eligible: () => true }];
      const fitting = new Set(nodes.filter(({ metadata }) => selectorMatches(nodeSelector, metadata.labels)).map(({ metadata }) => metadata.name));
      return [{ address, eligible: (name) => fitting.has(name) }];
    });
  }

  /** Host where this node takes tunnel packets, as its Node object says; '' when it does not. */
  endpoint(): string {
    return this.endpoints().get(this.parts.node) ?? '';
  }

  /** Makes what is held true; see Ownership. */
  async hold(held: ReadonlyMap<string, number>, absolute: (monotonic: number) => number): Promise<void> {
    const { driver, addresses } = this.parts;
    await driver.hold(new Map([...held].map(([address, until]) => [address, absolute(until)])));
    // Not before the tables guard it: they end its use in time, whatever becomes of this process.
    await addresses.apply(new Map([...held].filter(([address]) => addresses.fixed.has(address) || driver.guards(address))));
  }

  /** One turn of the loop. */
  async realize(): Promise<void> {
    const { inventory, ownership, driver, tunnel, addresses, node, except, isHere, layout, log } = this.parts;
    try {
      await addresses.refresh();
      if (!inventory.inUse) {
        if (!this.begun || this.image !== '') await this.removeAll();
        this.begun = true;
        return;
      }
      const { holders } = ownership;
      // What a process before this one left stays as it is until it is known who has what.
      if (holders === undefined) return;
      const endpoints = this.endpoints();
      const plan = egressPlan(this.selection, {
        node, holders, endpoints, except, fixed: addresses.fixed,
        isLocal: ({ namespace, name, nodeName }) => (nodeName === undefined ? isHere(namespace, name) : nodeName === node),
      });
      const hosts = [...new Set([...plan.away.values(), ...plan.back.values()])].filter((host) => host !== undefined);
      const together = [...endpoints.keys()].some((name) => name !== node);
      const marks = together || hosts.length > 0 ? await tunnel.prepare(hosts) : new Map<string, number>();
      const image = imageOf(plan, marks, layout);
      const text = JSON.stringify(image, (_, value: unknown) => (value instanceof Map ? [...(value as Map<unknown, unknown>)].map(([key, one]) => [key, one ?? null]) : value));
      if (text !== this.image) {
        this.passing = await this.findPassing();
        await driver.apply(image);
        this.image = text;
        log.info('egress.applied', { addresses: plan.addresses.length, translated: plan.translate.size, sentOn: plan.away.size });
        ownership.soon();
      }
      await this.endOthers(plan);
      await tunnel.trim(hosts, together);
      this.begun = true;
      this.failure = undefined;
      await this.parts.remember(this.selection.allocation.addresses);
    } catch (error) {
      this.image = '';
      this.failure = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  /** What somebody else did to our tables; the next turn repairs it. */
  async drifted(): Promise<string | undefined> {
    if (this.image === '') return undefined;
    const what = await this.parts.driver.drifted();
    if (what === undefined) return undefined;
    this.image = '';
    this.parts.loop.markDirty('drift');
    return what;
  }

  async cleanup(): Promise<string[]> {
    await this.parts.ownership.leave();
    const had = this.image !== '';
    await this.removeAll();
    return had ? [`tables ${this.parts.driver.object}`, `interface ${this.parts.layout.device}, its routes and rules`] : [];
  }

  private async removeAll(): Promise<void> {
    const { driver, tunnel } = this.parts;
    await driver.apply(undefined);
    this.image = '';
    await this.endOthers({ translate: new Map(), away: new Map(), except: [] });
    await tunnel.trim([], false);
  }

  /** Connections go on with the address they began with: those that have another one now are ended, and begin again. */
  private async endOthers({ translate, away, except }: Pick<EgressPlan, 'translate' | 'away' | 'except'>): Promise<void> {
    const now = new Map([...translate, ...[...away].flatMap(([pod, host]): [string, string][] => (host === undefined ? [] : [[pod, pod]]))]);
    const wanted = [...now].filter(([pod, address]) => this.translations.get(pod) !== address).flat();
    const former = [...this.translations].filter(([pod, address]) => address !== pod && now.get(pod) !== address).flat();
    if (wanted.length > 0 || former.length > 0) {
      const ended = await this.parts.endOtherTranslations({ wanted, former, except });
      if (ended > 0) this.parts.log.info('egress.connections_ended', { connections: ended });
    }
    this.translations = now;
  }

  /** Local pods that the host has no route to but through a gateway. */
  private async findPassing(): Promise<readonly string[]> {
    const { routeTo, node } = this.parts;
    const local = this.selection.pods.filter(({ pod }) => pod.nodeName === node).flatMap(({ from }) => from);
    const ways = await Promise.all(local.map(async (address) => ({ address, way: await routeTo(address) })));
    return ways.filter(({ way }) => way?.type !== 'unicast' || way.gateway !== '').map(({ address }) => address);
  }

  /** Node → host: what it says itself, else its Node object. IPv4 before IPv6. */
  private endpoints(): ReadonlyMap<string, string> {
    const declared = this.selection.nodes.flatMap(({ metadata, addresses }): [string, string][] => {
      const host = addresses.find((address) => familyOf(address) === 4) ?? addresses[0];
      return host === undefined ? [] : [[metadata.name, host]];
    });
    const said = [...this.parts.ownership.nodes].flatMap(([name, { endpoint }]): [string, string][] => (endpoint === '' ? [] : [[name, endpoint]]));
    return new Map([...declared, ...said]);
  }
}

function imageOf(plan: EgressPlan, marks: ReadonlyMap<string, number>, layout: EgressParts['layout']): EgressImage {
  const markOf = (host: string | undefined): number | undefined => (host === undefined ? undefined : marks.get(host));
  return {
    ...layout, marks: [...new Set(marks.values())].sort((a, b) => a - b), addresses: plan.addresses, except: plan.except, translate: plan.translate, nodes: plan.nodes, limits: plan.limits,
    away: new Map([...plan.away].map(([pod, host]) => [pod, markOf(host)])),
    back: new Map([...plan.back].flatMap(([pod, host]): [string, number][] => {
      const mark = markOf(host);
      return mark === undefined ? [] : [[pod, mark]];
    })),
  };
}
