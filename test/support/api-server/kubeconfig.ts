/** kubeconfig files for the test's API server. */
import { writeFile } from 'node:fs/promises';
import type { Authority, KeyPair } from './certificates.js';
import type { ApiServer } from './server.js';

export type User = { readonly token: string } | { readonly tokenFile: string } | { readonly certificate: KeyPair } | { readonly exec: { readonly command: string; readonly args: readonly string[] } };

export function kubeconfig(server: Pick<ApiServer, 'url'>, authority: Authority, user: User): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const fields = 'certificate' in user ? { 'client-certificate-data': base64(user.certificate.cert), 'client-key-data': base64(user.certificate.key) }
    : 'exec' in user ? { exec: { apiVersion: 'client.authentication.k8s.io/v1', interactiveMode: 'Never', ...user.exec } }
    : user;
  return JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: server.url, 'certificate-authority-data': base64(authority.cert) } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'agent' } }],
    users: [{ name: 'agent', user: fields }],
  });
}

export async function writeKubeconfig(file: string, server: Pick<ApiServer, 'url'>, authority: Authority, user: User): Promise<void> {
  await writeFile(file, kubeconfig(server, authority, user), { mode: 0o600 });
}
