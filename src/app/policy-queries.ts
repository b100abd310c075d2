/** What became of policies: their status for `agentctl get`, and what they say of a pod for `agentctl query endpoint`. */
import { rulesNaming, type NamingRule } from '../compile/policy/endpoint-rules.js';
import type { Policy, PolicyOrder } from '../compile/policy/ir.js';
import { compareOrder, KUBERNETES } from '../compile/policy/order.js';
import type { PolicyEngine, PolicyState } from '../compile/policy/policy-engine.js';
import { ruleNumber } from '../compile/policy/policy-table.js';
import { compareText } from '../compile/world.js';
import { AgentError } from '../model/errors.js';
import { policyName } from '../model/policy-name.js';
import type { PolicyObject } from '../model/policy-objects.js';
import { objectKey } from '../model/objects.js';
import type { EndpointRuleView, EndpointsView, EndpointView, PolicyRuleStatusView, PolicyStatusView, RuleStatsView } from '../model/views.js';
import type { Realized } from './realized.js';
import { Turns } from '../platform/turns.js';

export interface PolicyQueriesOptions {
  readonly engine: PolicyEngine;
  readonly realized: () => Realized | undefined;
  /** Counters of rules, by table and rule id. */
  readonly ruleStats: () => Promise<(table: string, ruleId: number) => RuleStatsView>;
  /** As RuleNumbers, but gives none to a rule that has none. */
  readonly knownNumber: (key: string) => number | undefined;
}

export class PolicyQueries {
  constructor(private readonly options: PolicyQueriesOptions) {}

  /** In order of evaluation; what is held without an earlier version stands nowhere and comes last. */
  inOrder(objects: readonly PolicyObject[]): PolicyObject[] {
    const ordered = objects.map((object) => ({ object, name: policyName(object.kind, object.metadata), order: this.order(object) }));
    ordered.sort((a, b) => (a.order !== undefined && b.order !== undefined
      ? compareOrder(a.order, b.order)
      : Number(a.order === undefined) - Number(b.order === undefined) || compareText(a.name, b.name)));
    return ordered.map(({ object }) => object);
  }

  /** By objectKey. `whole`: also the rules of policies that apply to nothing here. */
  async statuses(objects: readonly PolicyObject[], whole: boolean): Promise<Map<string, PolicyStatusView>> {
    const found = new Map<string, PolicyStatusView>();
    if (objects.length === 0) return found;
    const { engine } = this.options;
    const stats = await this.options.ruleStats();
    const turns = new Turns();
    for (const object of objects) {
      const key = objectKey(object);
      const state = engine.state(key);
      const policy = state?.policy ?? (whole ? engine.lowered(key) : undefined);
      found.set(key, this.status(object, state, policy, stats));
      await turns.breathe();
    }
    return found;
  }

  /** @throws AgentError E_NOT_FOUND when no source holds the pod. */
  async endpoint(namespace: string, name: string): Promise<EndpointsView> {
    const { engine } = this.options;
    const known = engine.endpoint(namespace, name);
    if (known === undefined) throw new AgentError('E_NOT_FOUND', `there is no pod "${namespace}/${name}"`, { object: `${namespace}/${name}` });
    const { pod, lookup } = known;
    const naming: NamingRule[] = [];
    const turns = new Turns();
    for (const { object } of engine.states()) {
      const policy = engine.lowered(objectKey(object));
      if (policy !== undefined) naming.push(...rulesNaming(policy, pod, lookup));
      await turns.breathe();
    }
    naming.sort((a, b) => compareOrder(a.policy.order, b.policy.order));
    const view: EndpointView = {
      namespace, name,
      policies: engine.applyingTo({ workload: { kind: 'Pod', namespace, name }, addresses: pod.addresses }).map(({ reference }) => reference),
      ingresssrcrules: naming.filter(({ direction }) => direction === 'in').map(endpointRule),
      egressdstrules: naming.filter(({ direction }) => direction === 'out').map(endpointRule),
    };
    return { endpoints: [view] };
  }

  private order(object: PolicyObject): PolicyOrder | undefined {
    if (object.kind === 'NetworkPolicy') return { ...KUBERNETES, priority: 0, name: policyName(object.kind, object.metadata) };
    return this.options.engine.state(objectKey(object))?.policy?.order;
  }

  private status(object: PolicyObject, state: PolicyState | undefined, policy: Policy | undefined, stats: (table: string, ruleId: number) => RuleStatsView): PolicyStatusView {
    const realized = this.options.realized();
    const filters = [...(state?.filters ?? [])];
    const here = realized?.world.filters.filter(({ name }) => state?.filters.has(name) === true) ?? [];
    const rules = policy === undefined ? [] : this.rules(policy, state, stats);
    const generations = filters.map((filter) => realized?.tableTimes.get(realized.compilation.filterTables.get(filter) ?? '')?.generation ?? 0);
    const name = (state?.problem === undefined) ? this.progress(state, realized) : 'held';
    return {
      name: policyName(object.kind, object.metadata), state: name,
      workloads: new Set(here.map(({ workload }) => objectKey({ kind: workload.kind, metadata: workload }))).size, filters, ruleCount: ruleCount(object),
      ...(policy === undefined || policy.order.section === 'kubernetes' ? {} : { tierPriority: policy.order.rank, priority: policy.order.priority }),
      hits: rules.reduce((total, rule) => total + (rule.stats?.evals ?? 0), 0),
      ...(name === 'realized' ? { generation: Math.max(...generations) } : {}),
      rules, ...(state?.problem === undefined ? {} : { problem: { ...state.problem } }),
    };
  }

  /** From what is in force, not from what the engine wants. */
  private progress(state: PolicyState | undefined, realized: Realized | undefined): 'realized' | 'pending' | 'not-here' {
    if (state === undefined || realized === undefined) return 'pending';
    if (state.filters.size === 0) return 'not-here';
    const tablesAt = (filter: string): ReadonlySet<unknown> | undefined => {
      const key = realized.compilation.filterTables.get(filter);
      return key === undefined ? undefined : new Set(realized.compilation.sources.get(key)?.map(({ table }) => table));
    };
    const inForce = [...state.filters].every((filter) => {
      const tables = tablesAt(filter);
      return tables !== undefined && state.tables.every((entry) => !entry.filters.has(filter) || tables.has(entry.table));
    });
    return inForce ? 'realized' : 'pending';
  }

  private rules(policy: Policy, state: PolicyState | undefined, stats: (table: string, ruleId: number) => RuleStatsView): PolicyRuleStatusView[] {
    return policy.rules.map((rule): PolicyRuleStatusView => {
      const id = ruleNumber(policy, rule, this.options.knownNumber);
      const counted = id === undefined ? [] : (state?.tables ?? []).map(({ table }) => stats(table.metadata.name, id));
      return {
        ...(id === undefined ? {} : { id }), ...(rule.name === undefined ? {} : { name: rule.name }), direction: rule.direction, action: rule.action,
        ...(counted.length === 0 ? {} : { stats: counted.reduce(added) }),
      };
    });
  }
}

function added(a: RuleStatsView, b: RuleStatsView): RuleStatsView {
  const both = (key: 'packets' | 'bytes'): RuleStatsView['packets'] => ({ in: a[key].in + b[key].in, out: a[key].out + b[key].out });
  return { evals: a.evals + b.evals, packets: both('packets'), bytes: both('bytes') };
}

function ruleCount(object: PolicyObject): number {
  if (object.kind === 'SecurityPolicy') return object.rules.length;
  return object.ingress.length + object.egress.length;
}

function endpointRule({ policy, rule, direction, index }: NamingRule): EndpointRuleView {
  return { policyref: policy.reference, direction: direction === 'in' ? 'In' : 'Out', ruleindex: index, ...(rule.name === undefined ? {} : { rule: rule.name }) };
}
