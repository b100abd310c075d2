/** `agentctl diff`: what applying or deleting documents would change on this host. Touches nothing. */
import type { DiffRequest, ManifestInput } from '../api/agent-api.js';
import { Compiler, type QuarantineTables } from '../compile/compiler.js';
import type { CompiledTable } from '../compile/compiled.js';
import type { EffectiveTable } from '../compile/effective.js';
import type { PolicyEngine } from '../compile/policy/policy-engine.js';
import type { RuleNumbers } from '../compile/policy/policy-table.js';
import type { FlowService } from '../connections/flow-service.js';
import { AgentError, isAgentError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import { identityOf } from '../model/identity.js';
import { objectKey, type DesiredObject } from '../model/objects.js';
import { LIMITS } from '../model/rule.js';
import type { ChangeView, DiffView, FaultView } from '../model/views.js';
import type { FlowTable } from '../native/binding.js';
import type { Datapath } from './datapath.js';
import { evaluateObjects, type Evaluation } from './diff-evaluation.js';
import { flowsCut, type FilterChange } from './diff-flows.js';
import { compareTables, type FilterTables } from './diff-tables.js';
import { completedLike } from '../discovery/addresses/learning-vnics.js';
import { completion, DISCOVERY_SOURCE, mergeSources, type Desired, type NamedSource } from './desired.js';
import type { StoredFilterNumbers } from './filter-numbers.js';
import { changeOf, OWN_SOURCE, type OwnObjects } from './own-objects.js';
import type { Realized } from './realized.js';
import type { StoredRuleNumbers } from './rule-numbers.js';
import { Turns } from '../platform/turns.js';

export interface DifferenceOptions {
  readonly sources: readonly NamedSource[];
  readonly own: OwnObjects;
  readonly datapath: Datapath;
  readonly policies: PolicyEngine;
  /** A fresh one, configured as the one in force. */
  readonly engine: (numbers: RuleNumbers) => PolicyEngine;
  readonly ruleNumbers: StoredRuleNumbers;
  readonly numbers: StoredFilterNumbers;
  readonly hostAddresses: () => readonly string[];
  readonly flows: FlowService;
  readonly flowTable: FlowTable;
  readonly failOpen: boolean;
  readonly quarantine: QuarantineTables;
}

/** What the documents make of the desired objects. */
interface Proposal {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly keys: ReadonlySet<string>;
  readonly changes: ChangeView[];
  readonly errors: FaultView[];
}

/** A proposal in the making, with who holds what now. */
interface Draft extends Proposal {
  readonly objects: Map<string, DesiredObject>;
  readonly keys: Set<string>;
  readonly manifests: Desired['manifests'];
}

export class Differences {
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: DifferenceOptions) {}

  /** One at a time: each takes the memory of a second evaluation. @throws AgentError E_UNREACHABLE before the first apply. */
  async diff(request: DiffRequest): Promise<DiffView> {
    const mine = this.turn.then(() => this.evaluate(request));
    // The next one waits for this one to end, however it ends; the caller of this one sees the failure.
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async evaluate(request: DiffRequest): Promise<DiffView> {
    const { options } = this;
    const { realized } = options.datapath;
    if (realized === undefined) throw new AgentError('E_UNREACHABLE', 'nothing is in force yet: the agent is starting', { retryable: true });
    const proposal = request.delete ? this.deletion(request) : this.application(request);
    const before = tablesInForce(realized);
    const after = await evaluateObjects({
      objects: proposal.objects, restored: this.inForceOf(proposal.keys), restoredTables: [...new Set([...before.values()].flat())].filter(({ section }) => section === undefined),
      engine: options.engine(options.ruleNumbers.provisional()), numbers: options.numbers.provisional(), hostAddresses: options.hostAddresses(), quarantine: options.quarantine,
    });
    const names = after.world.filters.map(({ name }) => name);
    const { changed, ...tables } = compareTables(names, before, after.tables);
    const errors = [...proposal.errors, ...newProblems(after, realized, proposal.keys), ...limitProblem(after)];
    const { flows, complete } = await flowsCut(await this.filterChanges(realized, after, changed), {
      query: (query) => options.flowTable.query(query), view: (record, filter) => options.flows.view(record, { filter, ruleId: undefined }), labels: options.datapath.labels,
    });
    const known = new Set(realized.world.filters.map(({ name }) => name));
    const filters = { added: names.filter((name) => !known.has(name)), removed: [...known].filter((name) => !names.includes(name)) };
    return { changes: proposal.changes, errors, filters, ...tables, flowsCut: flows, flowsComplete: complete };
  }

  private application(request: DiffRequest): Proposal {
    return this.propose(request, ({ objects, keys, changes, manifests }, input) => {
      for (const { object, manifest } of this.options.own.decode(input)) {
        const key = objectKey(object);
        const owner = manifests.get(key);
        if (request.own && owner !== undefined && owner.source !== OWN_SOURCE) throw new AgentError('E_CONFLICT', `belongs to source ${owner.source}: change it there`, { object: key });
        const change = changeOf(key, owner?.manifest, manifest);
        changes.push(change);
        keys.add(key);
        // What did not change stays the very object: nothing about it is compared.
        if (change.operation !== 'unchanged') objects.set(key, object);
      }
    });
  }

  private deletion(request: DiffRequest): Proposal {
    return this.propose(request, ({ objects, keys, changes, manifests }, input) => {
      for (const key of this.keysOf(input)) {
        const owner = manifests.get(key);
        if (owner === undefined) throw new AgentError('E_NOT_FOUND', 'there is no such object', { object: key });
        if (request.own && owner.source !== OWN_SOURCE) throw new AgentError('E_CONFLICT', `belongs to source ${owner.source}: remove it there`, { object: key });
        keys.add(key);
        changes.push({ object: key, operation: 'deleted' });
        objects.delete(key);
      }
    });
  }

  /** What is desired now, changed by every document; a document that is refused leaves its error. */
  private propose({ documents }: DiffRequest, change: (draft: Draft, input: ManifestInput) => void): Proposal {
    const { objects, manifests } = mergeSources(this.options.sources);
    const draft: Draft = { objects: new Map(objects), keys: new Set(), changes: [], errors: [], manifests };
    for (const input of documents) collect(draft.errors, () => change(draft, input));
    this.complete(draft);
    giveWay(draft);
    return draft;
  }

  /** What was learned of a workload stays known when its object changes. */
  private complete({ objects, keys }: Draft): void {
    for (const key of keys) {
      const object = objects.get(key);
      const known = object === undefined ? undefined : completion(this.options.sources, key);
      if (object !== undefined && known !== undefined) objects.set(key, completedLike(object, known.original, known.completed));
    }
  }

  /** A document need not be valid to name an object. */
  private keysOf(input: ManifestInput): string[] {
    if (!('document' in input)) return this.options.own.decode(input).map(({ object }) => objectKey(object));
    const identity = identityOf(input.document);
    if (identity === undefined) throw new AgentError('E_INVALID', 'a document without kind and metadata.name names no object');
    return [objectKey({ kind: identity.kind, metadata: identity })];
  }

  /** What is in force and stays so where its newer version cannot be. */
  private inForceOf(keys: ReadonlySet<string>): DesiredObject[] {
    const { policies, sources } = this.options;
    const held = policies.held();
    const known = new Set(held.map((object) => objectKey(object)));
    const { objects } = mergeSources(sources);
    const others = [...keys].filter((key) => !known.has(key)).flatMap((key) => policies.state(key)?.inForce ?? objects.get(key) ?? []);
    return [...held, ...others];
  }

  /** Filters whose tables would differ, with what both lists compile to. */
  private async filterChanges(realized: Realized, after: Evaluation, changed: ReadonlySet<string>): Promise<FilterChange[]> {
    const { options } = this;
    const compiler = new Compiler();
    compiler.seed(new Map([...options.datapath.labels].map(([id, { key }]) => [id, key])));
    const compiled = new Map<string, CompiledTable>();
    const turns = new Turns();
    const found: FilterChange[] = [];
    for (const filter of after.world.filters) {
      const before = realized.compilation.tables.get(realized.compilation.filterTables.get(filter.name) ?? '');
      if (before === undefined || !changed.has(filter.name)) continue;
      const tables = after.tables.get(filter.name);
      if (tables === undefined) {
        found.push({ filter, before, after: options.failOpen ? 'open' : 'closed' });
        continue;
      }
      const realmOf = (one: Filter): string => options.datapath.realmOf(one);
      const key = realmOf(filter) + keyOf(tables);
      const table = compiled.get(key) ?? compileOnce(compiler, after, key, realmOf);
      compiled.set(key, table);
      found.push({ filter, before, after: table });
      await turns.breathe();
    }
    return found;
  }
}

/** A port that was found is the proposed Attachment's, as discovery will see it then. */
function giveWay({ objects, keys, manifests }: Draft): void {
  const proposed = [...keys].flatMap((key) => objects.get(key) ?? []).flatMap((object) => (object.kind === 'Attachment' ? [object.interface] : []));
  if (proposed.length === 0) return;
  for (const [key, object] of objects) {
    if (object.kind === 'Attachment' && !keys.has(key) && proposed.includes(object.interface) && manifests.get(key)?.source === DISCOVERY_SOURCE) objects.delete(key);
  }
}

function tablesInForce({ compilation }: Realized): FilterTables {
  return new Map([...compilation.filterTables].map(([name, key]): [string, readonly EffectiveTable[]] => [name, compilation.sources.get(key) ?? []]));
}

function keyOf(tables: readonly EffectiveTable[]): string {
  return tables.map(({ table }) => table.metadata.name).join(' ');
}

/** For all filters that have these tables, as the compilation of everything would. */
function compileOnce(compiler: Compiler, { world, tables }: Evaluation, key: string, realmOf: (filter: Filter) => string): CompiledTable {
  // Their own rule tables are already in the list.
  const filters = world.filters.filter((filter) => tables.has(filter.name) && realmOf(filter) + keyOf(tables.get(filter.name) ?? []) === key).map((filter) => ({ ...filter, tables: [] }));
  const found = compiler.compile({ ...world, filters }, (name) => tables.get(name), undefined, realmOf).tables.get(key);
  if (found === undefined) throw new AgentError('E_INTERNAL', 'a table list was not compiled', { object: key });
  return found;
}

function newProblems({ problems }: Evaluation, realized: Realized, keys: ReadonlySet<string>): FaultView[] {
  const known = new Set(realized.problems.map(({ object, path, message }) => JSON.stringify([object, path, message])));
  return problems.filter(({ object, path, message }) => keys.has(object) || !known.has(JSON.stringify([object, path, message])))
    .map(({ object, path, message }) => ({ object, path, message }));
}

function limitProblem({ tables }: Evaluation): FaultView[] {
  let rules = 0;
  for (const list of tables.values()) for (const { table } of list) rules += table.rules.length;
  return rules > LIMITS.rulesPerHost ? [{ object: 'rules', path: '', message: `${rules} rules over all filters; a host takes ${LIMITS.rulesPerHost}` }] : [];
}

function collect(errors: FaultView[], work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isAgentError(error)) throw error;
    errors.push({ object: error.object ?? '', path: error.path ?? '', message: error.message });
  }
}
