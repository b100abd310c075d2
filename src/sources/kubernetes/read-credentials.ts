/**
 * Credentials by Kubernetes' client library: kubeconfig files, the service account of the pod we run in, exec plugins, OIDC.
 * The library takes some 70 MB to load, so the agent does this in a worker that ends (credentials-worker.ts).
 */
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Credentials, CredentialsReader } from './credentials.js';

/** Where the kubelet puts them: kubernetes.io/docs, "Accessing the Kubernetes API from a Pod". */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export class InlineCredentials implements CredentialsReader {
  async read(kubeconfig: string | undefined): Promise<Credentials> {
    const { KubeConfig } = await import('@kubernetes/client-node');
    const config = new KubeConfig();
    try {
      if (kubeconfig === undefined) config.loadFromCluster();
      else config.loadFromFile(kubeconfig);
    } catch (cause) {
      throw new AgentError('E_CONFIG', `cannot be used: ${describeError(cause)}`, { object: kubeconfig ?? 'service account', retryable: true, cause });
    }
    const cluster = config.getCurrentCluster();
    const user = config.getCurrentUser();
    if (cluster === null || user === null) throw new AgentError('E_CONFIG', 'its current context names no cluster and user', { object: kubeconfig ?? 'service account' });
    if (kubeconfig === undefined && cluster.server.includes('undefined')) {
      throw new AgentError('E_CONFIG', 'the agent does not run in a pod (KUBERNETES_SERVICE_HOST is not set), and no kubeconfig is named', { object: 'sources' });
    }
    const tokenFile = kubeconfig === undefined ? `${SERVICE_ACCOUNT}/token` : await tokenFileOf(kubeconfig, user.name);
    const files = [kubeconfig, tokenFile, cluster.caFile, user.certFile, user.keyFile].filter((file) => typeof file === 'string');
    try {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(options.headers ?? {})) if (typeof value === 'string') headers[name.toLowerCase()] = value;
      if (typeof options.auth === 'string') headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
      if (tokenFile !== undefined) headers['authorization'] = `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`;
      const { servername } = options;
      const [ca, cert, key] = [pemOf(options.ca), pemOf(options.cert), pemOf(options.key)];
      return {
        server: cluster.server.replace(/\/+$/, ''), insecure: options.rejectUnauthorized === false, headers, files,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(servername === undefined ? {} : { serverName: servername }),
        ...(cluster.proxyUrl === undefined ? {} : { proxy: cluster.proxyUrl }),
      };
    } catch (cause) {
      // A file that is being replaced, a plugin that has no network: later it may be right.
      throw new AgentError('E_IO', `credentials cannot be had: ${describeError(cause).trim()}`, { object: kubeconfig ?? 'service account', retryable: true, cause });
    }
  }
}

/** The library does not know the field `tokenFile` of users (client-go: tools/clientcmd/api/v1). */
async function tokenFileOf(kubeconfig: string, user: string): Promise<string | undefined> {
  const users = fieldsOf(parse(await readFile(kubeconfig, 'utf8')))?.['users'];
  if (!Array.isArray(users)) return undefined;
  for (const entry of users) {
    const fields = fieldsOf(entry);
    const file = fieldsOf(fields?.['user'])?.['tokenFile'];
    if (fields?.['name'] === user && typeof file === 'string') return resolve(dirname(kubeconfig), file);
  }
  return undefined;
}

function pemOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
}
