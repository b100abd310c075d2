/** A server, an authority and a kubeconfig for one test file; everything ends with close(). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Authority } from './certificates.js';
import { writeKubeconfig, type User } from './kubeconfig.js';
import { ApiServer, type ApiServerOptions } from './server.js';

export const TOKEN = 'token-of-the-agent';

export interface Harness {
  readonly server: ApiServer;
  readonly authority: Authority;
  readonly directory: string;
  readonly kubeconfig: string;
  /** Writes the kubeconfig anew. */
  use(user: User): Promise<void>;
  close(): Promise<void>;
}

/** Listens, and takes TOKEN, which the kubeconfig names. */
export async function startHarness(options: Partial<ApiServerOptions> = {}): Promise<Harness> {
  const authority = await Authority.create();
  const directory = await mkdtemp(join(tmpdir(), 'dfwt-k8s-'));
  const server = new ApiServer({ authority, certificate: await authority.server(), ...options });
  server.tokens.set(TOKEN, 'system:serviceaccount:kube-system:dfw-agent');
  await server.start();
  const file = join(directory, 'kubeconfig');
  const use = async (user: User): Promise<void> => writeKubeconfig(file, server, authority, user);
  await use({ token: TOKEN });
  return {
    server, authority, directory, kubeconfig: file, use,
    close: async () => {
      await server.stop();
      await authority.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
