/** Parts that several kinds share. Refusals are AgentError E_INVALID (or E_LIMIT) with the path inside the document. */
import type { LabelSelector, ObjectMeta, WorkloadReference } from '../../model/objects.js';
import type { ManifestMeta, SelectorManifest, WorkloadManifest } from './manifests.js';
import { canonicalHost, canonicalMac, canonicalMember } from '../../model/address.js';
import { AgentError, type ErrorCode } from '../../model/errors.js';
import { labelProblem, nsxNameProblem, subdomainProblem } from '../../model/names.js';
import { LIMITS } from '../../model/rule.js';
import { describe, joinPath } from './schema-errors.js';

export function refuse(path: string, message: string, code: ErrorCode = 'E_INVALID'): AgentError {
  return new AgentError(code, message, { path });
}

/** Throws when a check of model/names gave a reason. */
export function refuseIf(problem: string | undefined, path: string): void {
  if (problem !== undefined) throw refuse(path, problem);
}

/** Runs a canonicalizer of model/address and gives its refusal a path. */
function at<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AgentError) throw new AgentError(error.code, error.message, { path, cause: error });
    throw error;
  }
}

export const DEFAULT_NAMESPACE = 'default';

/** Metadata of our own and of cluster-scoped kinds. */
export function decodeMeta(metadata: ManifestMeta, nameProblem: (name: string) => string | undefined): ObjectMeta {
  refuseIf(nameProblem(metadata.name), 'metadata.name');
  return { name: metadata.name, labels: metadata.labels ?? {} };
}

/** Metadata of namespaced kinds: `default` where none is given. */
export function decodeNamespacedMeta(metadata: ManifestMeta): ObjectMeta {
  const namespace = metadata.namespace ?? DEFAULT_NAMESPACE;
  refuseIf(labelProblem(namespace), 'metadata.namespace');
  return { ...decodeMeta(metadata, subdomainProblem), namespace };
}

export function decodeWorkload(workload: WorkloadManifest, path: string): WorkloadReference {
  const { kind, name } = workload;
  refuseIf(kind === 'VirtualMachine' ? nsxNameProblem(name) : subdomainProblem(name), joinPath(path, 'name'));
  if (kind === 'Pod') {
    const namespace = workload.namespace ?? DEFAULT_NAMESPACE;
    refuseIf(labelProblem(namespace), joinPath(path, 'namespace'));
    return { kind, namespace, name };
  }
  if (workload.namespace !== undefined) throw refuse(joinPath(path, 'namespace'), `a ${kind} has no namespace; leave it out`);
  return { kind, name };
}

export function decodeSelector(selector: SelectorManifest, path: string): LabelSelector {
  const matchExpressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }, index) => {
    const wantsValues = operator === 'In' || operator === 'NotIn';
    if (wantsValues !== values.length > 0) {
      throw refuse(
        `${path}.matchExpressions[${index}].values`,
        wantsValues ? `operator ${operator} needs at least one value` : `operator ${operator} takes no values`,
      );
    }
    return { key, operator, values };
  });
  return { matchLabels: selector.matchLabels ?? {}, matchExpressions };
}

/** Single addresses, canonical, without duplicates. */
export function decodeHosts(addresses: readonly string[] | undefined, path: string): string[] {
  return [...new Set((addresses ?? []).map((address, index) => at(`${path}[${index}]`, () => canonicalHost(address))))];
}

/** Members of an address set: strings, canonical, at most LIMITS.addressesPerSet. */
export function decodeMembers(addresses: readonly unknown[], path: string): string[] {
  if (addresses.length > LIMITS.addressesPerSet) {
    throw refuse(path, `${addresses.length} addresses; the limit is ${LIMITS.addressesPerSet} (addressesPerSet)`, 'E_LIMIT');
  }
  return addresses.map((address, index) => {
    if (typeof address !== 'string') throw refuse(`${path}[${index}]`, `must be an address in a string, is ${describe(address)}`);
    try {
      return canonicalMember(address);
    } catch (error) {
      if (error instanceof AgentError) throw new AgentError(error.code, error.message, { path: `${path}[${index}]`, cause: error });
      throw error;
    }
  });
}

export function decodeMac(mac: string, path: string): string {
  return at(path, () => canonicalMac(mac));
}
