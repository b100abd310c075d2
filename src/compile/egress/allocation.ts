/**
 * Which address each Egress has that asks a pool for one. There is no server that hands them out: every agent computes them from the same
 * objects and gets the same result. What is given stays (`before`); a new Egress begins to look at a place that its name says, so
 * that agents which do not know of each other's seldom choose differently. Pure.
 */
import type { EgressObject, ExternalIpPoolObject } from '../../model/policy-objects.js';
import { hash32 } from '../../model/text-hash.js';
import type { Problem } from '../problem.js';
import { compareText } from '../world.js';
import { poolAddress, poolHas, poolRanges, poolTotal, type PoolRange } from './pool.js';

export interface Allocation {
  /** Egress name → address; those without one are absent. */
  readonly addresses: ReadonlyMap<string, string>;
  /** By pool name. */
  readonly usage: ReadonlyMap<string, PoolUsage>;
  readonly problems: readonly Problem[];
}
/** As `status.usage` of an ExternalIPPool. */
export interface PoolUsage { readonly total: number; readonly used: number }

/**
 * An address that an Egress asks for comes first; who asks for one that another has, or that is not in its pool, has none. Then come those
 * that were given, as their status says or else `before`: kept where they still can be.
 */
export function allocate(egresses: Iterable<EgressObject>, pools: Iterable<ExternalIpPoolObject>, before: ReadonlyMap<string, string>): Allocation {
  const ranges = new Map([...pools].map((pool): [string, readonly PoolRange[]] => [pool.metadata.name, poolRanges(pool.ranges)]));
  const wanted = [...egresses].sort((a, b) => compareText(a.metadata.name, b.metadata.name));
  const addresses = new Map<string, string>();
  const owners = new Map<string, string>();
  const problems: Problem[] = [];
  const problem = (egress: EgressObject, path: string, message: string): void => void problems.push({ object: `Egress/${egress.metadata.name}`, path, message });
  const take = ({ metadata: { name } }: EgressObject, address: string): void => {
    addresses.set(name, address);
    owners.set(address, name);
  };

  for (const egress of wanted) {
    if (egress.egressIp === undefined || egress.isGiven === true) continue;
    const pool = poolOf(egress, ranges);
    const owner = owners.get(egress.egressIp);
    if (egress.externalIpPool !== undefined && pool === undefined) problem(egress, 'spec.externalIPPool', `there is no ExternalIPPool ${egress.externalIpPool}`);
    else if (pool !== undefined && !poolHas(pool, egress.egressIp)) problem(egress, 'spec.egressIP', `${egress.egressIp} is not in ExternalIPPool ${egress.externalIpPool ?? ''}`);
    else if (owner !== undefined) problem(egress, 'spec.egressIP', `${egress.egressIp} is Egress/${owner}'s`);
    else take(egress, egress.egressIp);
  }
  const asking = wanted.filter(({ egressIp, isGiven }) => egressIp === undefined || isGiven === true);
  // What stands in the status is the same for all agents.
  for (const givenTo of [({ egressIp }: EgressObject) => egressIp, ({ metadata: { name } }: EgressObject) => before.get(name)]) {
    for (const egress of asking) {
      const known = givenTo(egress);
      const pool = poolOf(egress, ranges);
      if (known !== undefined && pool !== undefined && poolHas(pool, known) && !owners.has(known) && !addresses.has(egress.metadata.name)) take(egress, known);
    }
  }
  for (const egress of asking) {
    if (addresses.has(egress.metadata.name)) continue;
    const pool = poolOf(egress, ranges);
    const address = pool === undefined ? undefined : free(egress.metadata.name, pool, owners);
    if (address !== undefined) take(egress, address);
    else if (pool === undefined) problem(egress, 'spec.externalIPPool', `there is no ExternalIPPool ${egress.externalIpPool ?? ''}`);
    else problem(egress, 'spec.externalIPPool', `ExternalIPPool ${egress.externalIpPool ?? ''} has no address left`);
  }
  return { addresses, problems, usage: usageOf(wanted, ranges, addresses) };
}

function poolOf({ externalIpPool }: EgressObject, ranges: ReadonlyMap<string, readonly PoolRange[]>): readonly PoolRange[] | undefined {
  return externalIpPool === undefined ? undefined : ranges.get(externalIpPool);
}

function free(name: string, ranges: readonly PoolRange[], owners: ReadonlyMap<string, string>): string | undefined {
  const total = poolTotal(ranges);
  const start = total === 0 ? 0 : hash32(name) % total;
  for (let step = 0; step < total; step += 1) {
    const address = poolAddress(ranges, (start + step) % total);
    if (address !== undefined && !owners.has(address)) return address;
  }
  return undefined;
}

function usageOf(egresses: readonly EgressObject[], pools: ReadonlyMap<string, readonly PoolRange[]>, addresses: ReadonlyMap<string, string>): Map<string, PoolUsage> {
  const used = new Map<string, number>();
  for (const { externalIpPool, metadata } of egresses) {
    if (externalIpPool !== undefined && addresses.has(metadata.name)) used.set(externalIpPool, (used.get(externalIpPool) ?? 0) + 1);
  }
  return new Map([...pools].map(([name, ranges]) => [name, { total: poolTotal(ranges), used: used.get(name) ?? 0 }]));
}
