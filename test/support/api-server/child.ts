/**
 * The API server as a process of its own, which can be killed: what it stores is in a file before anybody hears of it. First line of stdin: ChildConfig;
 * answers {"ready": true}. Then one request a line, as in ../probe/line-process.ts: put, remove, compact, closeWatches.
 */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ApiServer } from './server.js';
import type { StorageEvent, StoredObject } from './storage.js';

export interface ChildConfig {
  /** Unix socket. */
  readonly path: string;
  readonly port: number;
  /** A line for each change. */
  readonly data: string;
  /** It starts without the history of what it holds, as a server whose watch cache is new. */
  readonly forget: boolean;
  readonly authority: string;
  readonly key: string;
  readonly cert: string;
  readonly token: string;
}

type Request = { readonly id: number } & (
  | { readonly do: 'put'; readonly object: StoredObject }
  | { readonly do: 'remove'; readonly apiVersion: string; readonly kind: string; readonly name: string; readonly namespace?: string }
  | { readonly do: 'compact' }
  | { readonly do: 'closeWatches'; readonly cut: boolean });

let server: ApiServer | undefined;

async function begin(config: ChildConfig): Promise<void> {
  const { authority, path, port, data, forget, key, cert, token } = config;
  const made = new ApiServer({ authority: { cert: authority }, certificate: { key, cert }, path, port });
  made.tokens.set(token, 'system:serviceaccount:kube-system:dfw-agent');
  const lines = existsSync(data) ? readFileSync(data, 'utf8').split('\n').slice(0, -1) : [];
  made.recover(lines.map((line) => JSON.parse(line) as StorageEvent));
  if (forget) made.storage.compact();
  made.storage.onEvent(({ revision, resource, key: name, text, deleted }) => appendFileSync(data, `${JSON.stringify({ revision, resource, key: name, text, deleted })}\n`));
  // A killed one leaves its socket.
  rmSync(path, { force: true });
  await made.start();
  server = made;
  process.stdout.write('{"ready":true}\n');
}

function serve(request: Request): void {
  try {
    if (request.do === 'put') server?.put(request.object);
    else if (request.do === 'remove') server?.remove(request.apiVersion, request.kind, request.name, request.namespace);
    else if (request.do === 'compact') server?.storage.compact();
    else server?.closeWatches(request.cut);
    process.stdout.write(`{"id":${request.id}}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id: request.id, failed: String(error) })}\n`);
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  if (server !== undefined) return serve(JSON.parse(line) as Request);
  begin(JSON.parse(line) as ChildConfig).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
// Whoever started it is gone.
input.on('close', () => process.exit(0));
