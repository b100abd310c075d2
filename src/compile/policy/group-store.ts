/**
 * Named groups. One that policies in force use is not taken away from them: a version that cannot be resolved, or its deletion, waits
 * until nobody needs the version before. (A drop rule whose group vanished would let through what it was meant to stop.)
 */
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import type { Problem } from '../problem.js';
import type { CriteriaContext } from './criteria.js';
import type { GroupName } from './ir.js';
import { resolveGroup, type NamedGroup, type ResolvedGroup } from './named-groups.js';

interface Stored {
  /** What is desired; undefined = it was deleted. */
  desired: NamedGroup | undefined;
  inForce: NamedGroup | undefined;
  problem: Problem | undefined;
}

export class GroupStore {
  private readonly stored = new Map<string, Stored>();
  private readonly waiting = new Set<string>();

  constructor(private readonly context: CriteriaContext) {}

  /** `group` undefined = deleted. */
  set(key: string, group: NamedGroup | undefined): void {
    const known = this.stored.get(key);
    if (known === undefined) {
      if (group !== undefined) this.stored.set(key, { desired: group, inForce: group, problem: undefined });
      return;
    }
    known.desired = group;
    if (group === undefined) this.wait(key, known, `${key} was deleted while policies use it: its last version stays in force until none does`);
    else this.tryDesired(key, known);
  }

  /** A version that was in force before a restart. */
  restore(key: string, group: NamedGroup): void {
    const stored: Stored = { desired: undefined, inForce: group, problem: undefined };
    this.stored.set(key, stored);
    this.wait(key, stored, `${key} was deleted while policies use it: its last version stays in force until none does`);
  }

  /** @throws AgentError E_HELD. Adds the keys of the objects it looked at, also then. */
  resolve(name: GroupName, dependencies: Set<string>): ResolvedGroup {
    return resolveGroup(name, { ...this.context, group: (key) => this.stored.get(key)?.inForce }, dependencies);
  }

  /** Lets go of old versions that nobody uses. Call after policies were resolved. */
  forgetUnused(used: (key: string) => boolean): void {
    for (const key of [...this.waiting]) {
      const stored = this.stored.get(key);
      if (stored === undefined || stored.desired !== undefined) {
        if (stored !== undefined) this.tryDesired(key, stored);
        continue;
      }
      if (used(key)) continue;
      this.stored.delete(key);
      this.waiting.delete(key);
    }
  }

  ghosts(): NamedGroup[] {
    return [...this.waiting].flatMap((key) => this.stored.get(key)?.inForce ?? []);
  }

  get problems(): Problem[] {
    return [...this.waiting].flatMap((key) => this.stored.get(key)?.problem ?? []);
  }

  private tryDesired(key: string, stored: Stored): void {
    const before = stored.inForce;
    stored.inForce = stored.desired;
    try {
      this.resolve(nameOf(stored.desired), new Set());
      stored.problem = undefined;
      this.waiting.delete(key);
    } catch (error) {
      if (!isAgentError(error)) throw error;
      // Never resolved: policies that name it are held with the same reason.
      if (before === undefined || !this.resolves(key, before, stored)) {
        stored.inForce = stored.desired;
        return;
      }
      this.wait(key, stored, `held: ${describeError(error)}; its version before stays in force`);
    }
  }

  private resolves(key: string, group: NamedGroup, stored: Stored): boolean {
    stored.inForce = group;
    try {
      this.resolve(nameOf(group), new Set());
      return true;
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return false;
    } finally {
      this.waiting.delete(key);
    }
  }

  private wait(key: string, stored: Stored, message: string): void {
    stored.problem = { object: key, path: '', message };
    this.waiting.add(key);
  }
}

function nameOf(group: NamedGroup | undefined): GroupName {
  if (group === undefined) throw new AgentError('E_INTERNAL', 'a deleted group has no name');
  const { name, namespace } = group.metadata;
  return { kind: group.kind, name, ...(namespace === undefined ? {} : { namespace }) };
}

