/** Antrea tiers by name. One that policies in force use stays until they let go of it. */
import type { TierObject } from '../../model/policy-objects.js';
import { BUILT_IN_TIERS } from '../../model/tiers.js';
import type { Problem } from '../problem.js';

export class TierStore {
  private readonly desired = new Map<string, TierObject>();
  private readonly inForce = new Map<string, TierObject>();
  private readonly problemByName = new Map<string, Problem>();

  /** The number of a tier; undefined when there is none of that name. */
  priority(name: string): number | undefined {
    return BUILT_IN_TIERS.get(name) ?? this.inForce.get(name)?.priority;
  }

  /** `tier` undefined = deleted. `key`: Tier/NAME. */
  set(key: string, tier: TierObject | undefined): void {
    const name = key.slice(key.indexOf('/') + 1).toLowerCase();
    if (tier === undefined) {
      this.desired.delete(name);
      this.problemByName.set(name, deleted(key));
      return;
    }
    this.desired.set(name, tier);
    this.inForce.set(name, tier);
    this.problemByName.delete(name);
    const builtIn = BUILT_IN_TIERS.get(name);
    if (builtIn !== undefined && builtIn !== tier.priority) {
      this.problemByName.set(name, { object: key, path: 'spec.priority', message: `tier ${name} is built in with priority ${builtIn}; this object has no effect` });
    }
  }

  restore(tier: TierObject): void {
    const name = tier.metadata.name.toLowerCase();
    this.inForce.set(name, tier);
    this.problemByName.set(name, deleted(`Tier/${tier.metadata.name}`));
  }

  /** Lets go of deleted tiers that nobody uses. An object of a built-in tier is never what policies use. */
  forgetUnused(used: (name: string) => boolean): void {
    for (const name of this.inForce.keys()) {
      if (this.desired.has(name) || (used(name) && !BUILT_IN_TIERS.has(name))) continue;
      this.inForce.delete(name);
      this.problemByName.delete(name);
    }
  }

  ghosts(): TierObject[] {
    return [...this.inForce].flatMap(([name, tier]) => (this.desired.has(name) ? [] : [tier]));
  }

  get problems(): Problem[] {
    return [...this.problemByName.values()];
  }
}

function deleted(key: string): Problem {
  return { object: key, path: '', message: `${key} was deleted while policies use it: it stays in force until none does` };
}
