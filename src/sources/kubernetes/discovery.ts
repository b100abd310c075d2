/**
 * Which of the watched kinds the API server has, under which version and name (Kubernetes API concepts, "API discovery"). Definitions that are
 * not installed are no error: they are looked for again and again.
 */
import { AgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import { groupOf } from '../../model/kinds.js';
import type { ApiClient } from './api-client.js';
import { apiPath, type ServedResource, type WatchedKind } from './resources.js';

export interface Discovered {
  /** By WatchedKind.kind; a kind that is not here is certainly not served. */
  readonly resources: ReadonlyMap<string, ServedResource>;
}

interface ApiResource { readonly name: string; readonly kind: string; readonly verbs: readonly string[] }

/**
 * Everything anew. All or nothing: rejects when one answer could not be had, because a kind that is missing would look as if it were
 * not installed.
 */
export async function discover(client: ApiClient, kinds: readonly WatchedKind[], signal: AbortSignal): Promise<Discovered> {
  const served = await servedVersions(client, signal);
  const wanted = new Set(kinds.flatMap(({ apiVersions }) => apiVersions).filter((version) => groupOf(version) === '' || served.has(version)));
  const lists = new Map<string, readonly ApiResource[]>();
  await Promise.all([...wanted].map(async (version) => {
    const list = await resourcesOf(client, version, signal);
    if (list !== undefined) lists.set(version, list);
  }));
  const resources = new Map<string, ServedResource>();
  for (const watched of kinds) {
    for (const apiVersion of watched.apiVersions) {
      const list = lists.get(apiVersion) ?? [];
      const found = list.find(({ name, kind, verbs }) => kind === watched.written && !name.includes('/') && verbs.includes('list') && verbs.includes('watch'));
      if (found === undefined) continue;
      const hasStatus = list.some(({ name }) => name === `${found.name}/status`);
      resources.set(watched.kind, { watched, apiVersion, plural: found.name, hasStatus });
      break;
    }
  }
  return { resources };
}

async function servedVersions(client: ApiClient, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const groups = fieldsOf(await client.json({ path: '/apis', signal }))?.['groups'];
  if (!Array.isArray(groups)) throw new AgentError('E_PARSE', 'the API server gives no list of its groups', { object: '/apis', retryable: true });
  return new Set(groups.flatMap((group: unknown) => {
    const versions = fieldsOf(group)?.['versions'];
    return Array.isArray(versions) ? versions.map((version: unknown) => fieldsOf(version)?.['groupVersion']).filter((text) => typeof text === 'string') : [];
  }));
}

/** Undefined: not there any more. */
async function resourcesOf(client: ApiClient, apiVersion: string, signal: AbortSignal): Promise<readonly ApiResource[] | undefined> {
  let answer: unknown;
  try {
    answer = await client.json({ path: apiPath(apiVersion), signal });
  } catch (error) {
    if (error instanceof AgentError && error.code === 'E_NOT_FOUND') return undefined;
    throw error;
  }
  const resources = fieldsOf(answer)?.['resources'];
  if (!Array.isArray(resources)) throw new AgentError('E_PARSE', 'the API server gives no list of its resources', { object: apiPath(apiVersion), retryable: true });
  return resources.flatMap((resource: unknown): ApiResource[] => {
    const { name, kind, verbs } = fieldsOf(resource) ?? {};
    return typeof name === 'string' && typeof kind === 'string' ? [{ name, kind, verbs: Array.isArray(verbs) ? verbs.map(String) : [] }] : [];
  });
}
