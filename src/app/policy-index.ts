/** Which policy each rule in force came from. */
import type { Compilation } from '../compile/compiler.js';
import type { PolicyReference } from '../model/rule.js';

/** By policyKey. Rules that belong to no policy are absent. */
export type PolicyReferences = ReadonlyMap<string, PolicyReference>;

export function policyKey(table: string, ruleId: number): string {
  return `${table}/${ruleId}`;
}

const NONE: PolicyReferences = new Map();

/** Made when asked for, once a compilation: applies do not pay for it. */
export class PolicyIndex {
  private indexed: { readonly compilation: Compilation; readonly references: PolicyReferences } | undefined;

  constructor(private readonly compilation: () => Compilation | undefined) {}

  get references(): PolicyReferences {
    const compilation = this.compilation();
    if (compilation === undefined) return NONE;
    if (this.indexed?.compilation !== compilation) this.indexed = { compilation, references: collect(compilation) };
    return this.indexed.references;
  }
}

function collect(compilation: Compilation): PolicyReferences {
  const found = new Map<string, PolicyReference>();
  for (const table of new Set([...compilation.sources.values()].flatMap((tables) => tables.map((entry) => entry.table)))) {
    for (const { id, policy } of table.rules) if (policy !== undefined) found.set(policyKey(table.metadata.name, id), policy);
  }
  return found;
}
