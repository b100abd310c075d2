/**
 * Named groups. One that policies in force use is not taken away from them: a version that cannot be resolved, or its deletion, waits
 * until nobody needs the version before. (A drop rule whose group vanished would let through what it was meant to stop.)
 */
import { describeError, isAgentError } from '../../model/errors.js';
import type { Problem } from '../problem.js';
import type { CriteriaContext } from './criteria.js';
import type { GroupName } from './ir.js';
import { groupKey, resolveGroup, type NamedGroup, type ResolvedGroup } from './named-groups.js';

interface Stored {
  /** What is desired; undefined = it was deleted. */
  desired: NamedGroup | undefined;
  inForce: NamedGroup | undefined;
  problem: Problem | undefined;
}

export class GroupStore {
  private readonly stored = new Map<string, Stored>();
  /** Keys whose desired version is not, or not yet, the one in force. */
  private readonly waiting = new Set<string>();
  /** Key of a group -> keys of the groups that have it as a member, by the versions in force. */
  private readonly parents = new Map<string, Set<string>>();

  constructor(private readonly context: CriteriaContext) {}

  /** `group` undefined = deleted. Takes effect with settle(). */
  set(key: string, group: NamedGroup | undefined): void {
    const stored = this.stored.get(key) ?? { desired: undefined, inForce: undefined, problem: undefined };
    this.stored.set(key, stored);
    stored.desired = group;
    this.waiting.add(key);
  }

  /** A version that was in force before a restart, and that nobody desires until set() says so. */
  restore(key: string, group: NamedGroup): void {
    this.stored.set(key, { desired: undefined, inForce: undefined, problem: undefined });
    this.replace(key, group);
    this.waiting.add(key);
  }

  /** Brings into force what can be, after all set() of a step. Adds the keys of the groups that changed. */
  settle(changed: Set<string>): void {
    for (const key of this.waiting) {
      const stored = this.stored.get(key);
      if (stored?.desired === undefined || stored.inForce !== undefined) continue;
      // Nobody depends on it yet.
      this.accept(key, stored, changed);
    }
    for (let progress = true; progress;) {
      progress = false;
      for (const key of [...this.waiting].sort()) {
        const stored = this.stored.get(key);
        if (stored?.desired === undefined || !this.tryDesired(key, stored)) continue;
        this.accept(key, stored, changed);
        progress = true;
      }
    }
  }

  /** @throws AgentError E_HELD. Adds the keys of the objects it looked at, also then. */
  resolve(name: GroupName, dependencies: Set<string>): ResolvedGroup {
    return resolveGroup(name, { ...this.context, group: (key) => this.stored.get(key)?.inForce }, dependencies);
  }

  /**
   * Lets go of deleted groups that nobody uses; those in use get a problem that says so. Call after policies were resolved. True when one
   * went that was in force: then others may be ready for settle().
   */
  forgetUnused(used: (key: string) => boolean): boolean {
    let gone = false;
    for (const key of this.waiting) {
      const stored = this.stored.get(key);
      if (stored?.desired !== undefined) continue;
      if (stored?.inForce !== undefined && used(key)) {
        stored.problem = { object: key, path: '', message: `${key} was deleted while policies use it: its last version stays in force until none does` };
        continue;
      }
      gone ||= stored?.inForce !== undefined;
      this.replace(key, undefined);
      this.stored.delete(key);
      this.waiting.delete(key);
    }
    return gone;
  }

  ghosts(): NamedGroup[] {
    return [...this.waiting].flatMap((key) => this.stored.get(key)?.inForce ?? []);
  }

  get problems(): Problem[] {
    return [...this.waiting].flatMap((key) => this.stored.get(key)?.problem ?? []);
  }

  private accept(key: string, stored: Stored, changed: Set<string>): void {
    this.replace(key, stored.desired);
    stored.problem = undefined;
    this.waiting.delete(key);
    changed.add(key);
  }

  /** Whether the desired version resolves, and does so for all groups that have it as a member and resolve now. */
  private tryDesired(key: string, stored: Stored): boolean {
    const { inForce: before, desired } = stored;
    const around = [...this.ancestors(key)].filter((parent) => this.fault(parent) === undefined);
    // A version that does not resolve has nothing to lose.
    const broken = this.fault(key) !== undefined;
    this.replace(key, desired);
    const fault = (broken ? undefined : this.fault(key)) ?? around.map((parent) => this.fault(parent)).find((found) => found !== undefined);
    this.replace(key, before);
    if (fault !== undefined) stored.problem = { object: key, path: '', message: `held: ${fault}; its version before stays in force` };
    return fault === undefined;
  }

  /** Why the group cannot be resolved, by the versions in force. */
  private fault(key: string): string | undefined {
    const group = this.stored.get(key)?.inForce;
    if (group === undefined) return `${key} does not exist`;
    try {
      this.resolve(nameOf(group), new Set());
      return undefined;
    } catch (error) {
      if (!isAgentError(error)) throw error;
      return describeError(error);
    }
  }

  private ancestors(key: string, found = new Set<string>()): Set<string> {
    for (const parent of this.parents.get(key) ?? []) {
      if (found.has(parent)) continue;
      found.add(parent);
      this.ancestors(parent, found);
    }
    return found;
  }

  private replace(key: string, group: NamedGroup | undefined): void {
    const stored = this.stored.get(key);
    if (stored === undefined) return;
    for (const child of childrenOf(stored.inForce)) {
      const parents = this.parents.get(child);
      parents?.delete(key);
      if (parents?.size === 0) this.parents.delete(child);
    }
    stored.inForce = group;
    for (const child of childrenOf(group)) {
      const parents = this.parents.get(child) ?? new Set();
      this.parents.set(child, parents.add(key));
    }
  }
}

function childrenOf(group: NamedGroup | undefined): string[] {
  if (group === undefined) return [];
  const { kind, metadata: { namespace } } = group;
  const names = group.kind === 'Group' ? group.groups : group.childGroups;
  return names.map((name) => groupKey({ kind, name, ...(namespace === undefined ? {} : { namespace }) }));
}

function nameOf({ kind, metadata: { name, namespace } }: NamedGroup): GroupName {
  return { kind, name, ...(namespace === undefined ? {} : { namespace }) };
}
