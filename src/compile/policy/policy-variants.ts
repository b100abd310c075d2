/**
 * The variants of the policies in force: each policy's rule table, once for every kind of target that has it here (policy-table.ts).
 * Filters that are alike share one; one that nobody uses any more lets go of its sets.
 */
import type { EffectiveTable } from '../effective.js';
import type { Policy } from './ir.js';
import { buildTable, effectiveSets, sameLabelsText, variantKey, type PolicyTable, type Subject, type TableContext } from './policy-table.js';

/** `Owner` stands for the policy. */
export interface Variant<Owner> {
  readonly owner: Owner;
  readonly key: string;
  readonly built: PolicyTable;
  /** Versions of `built.ports` that the table was built with. */
  readonly portVersions: readonly number[];
  /** Numbers of the policy's rules that it has. */
  readonly applying: readonly number[];
  readonly subject: Subject;
  /** The table as filters have it: another object when a set changed. */
  effective: EffectiveTable;
  /** Names of the filters that have it. */
  readonly users: Set<string>;
}

/** What a policy must have for its variants, by key. */
export interface VariantOwner<Owner> {
  readonly variants: Map<string, Variant<Owner>>;
}

export class PolicyVariants<Owner extends VariantOwner<Owner>> {
  /** Those with domain names among their peers. */
  private readonly naming = new Set<Variant<Owner>>();

  constructor(private readonly context: TableContext) {}

  /** The policy's variant for such a target, made where there is none. It has no user by that: the caller adds one, or releases it. */
  find(owner: Owner, policy: Policy, applying: readonly number[], subject: Subject): Variant<Owner> {
    const labels = subject.namespace === undefined ? '' : sameLabelsText(policy, this.context.population.namespaceLabels(subject.namespace));
    const key = [variantKey(policy, applying, subject), labels].filter((part) => part !== '').join(' ');
    const known = owner.variants.get(key);
    if (known !== undefined) return known;
    const fresh = this.build(owner, policy, key, applying, subject, new Set());
    owner.variants.set(key, fresh);
    return fresh;
  }

  /** The filter no longer has it. */
  leave(variant: Variant<Owner>, filter: string): void {
    const { owner, key, users } = variant;
    users.delete(filter);
    // One that its policy has let go of already is released.
    if (users.size > 0 || owner.variants.get(key) !== variant) return;
    owner.variants.delete(key);
    this.release(variant);
  }

  /** Its policy goes, or gets another version. Filters still have the variants until they are chosen for anew. */
  releaseAll({ variants }: Owner): void {
    for (const variant of variants.values()) this.release(variant);
    variants.clear();
  }

  /**
   * Gives those of `inUse` new values whose sets or named ports changed since the last time; all others stay the same objects. Returns each
   * that changed with what stands in its place: itself, or one built anew (with the same users) where ports changed.
   */
  refresh(inUse: () => Iterable<Variant<Owner>>, policyOf: (owner: Owner) => Policy): ReadonlyMap<Variant<Owner>, Variant<Owner>> {
    const changed = new Map<Variant<Owner>, Variant<Owner>>();
    if (!this.context.sets.takeTouched()) return changed;
    for (const variant of new Set(inUse())) {
      const { owner, key, built } = variant;
      if (built.ports.some(({ version }, index) => version !== variant.portVersions[index])) {
        const fresh = this.build(owner, policyOf(owner), key, variant.applying, variant.subject, variant.users);
        owner.variants.set(key, fresh);
        this.release(variant);
        changed.set(variant, fresh);
      } else if (built.sets.some((set) => variant.effective.sets.get(set.name)?.members !== set.current.members)) {
        variant.effective = { ...variant.effective, sets: effectiveSets(built.sets) };
        changed.set(variant, variant);
      }
    }
    return changed;
  }

  /** Domain names and patterns of all of them, and the filters that have such variants. */
  fqdnPeers(): { readonly patterns: ReadonlySet<string>; readonly filters: ReadonlySet<string> } {
    const patterns = new Set<string>();
    const filters = new Set<string>();
    for (const { built, users } of this.naming) {
      for (const name of built.names) patterns.add(name);
      for (const user of users) filters.add(user);
    }
    return { patterns, filters };
  }

  private build(owner: Owner, policy: Policy, key: string, applying: readonly number[], subject: Subject, users: Set<string>): Variant<Owner> {
    const built = buildTable(policy, key, applying, subject, this.context);
    const variant: Variant<Owner> = {
      owner, key, built, applying, subject, users, portVersions: built.ports.map(({ version }) => version),
      effective: { table: built.table, section: policy.order.section, sets: effectiveSets(built.sets) },
    };
    if (built.names.length > 0) this.naming.add(variant);
    return variant;
  }

  private release(variant: Variant<Owner>): void {
    this.naming.delete(variant);
    for (const set of variant.built.sets) this.context.sets.release(set);
    for (const ports of variant.built.ports) this.context.sets.releasePorts(ports);
  }
}
