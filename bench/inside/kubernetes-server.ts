/** The API server of a measurement, with its cluster, in a process of its own. Ends with its parent's pipe. */
import { Authority } from '../../test/support/api-server/certificates.js';
import { writeKubeconfig } from '../../test/support/api-server/kubeconfig.js';
import { ApiServer } from '../../test/support/api-server/server.js';
import { systemClock } from '../../src/platform/clock.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import { unpacked } from '../../src/sources/kubernetes/list-body.js';
import { ListParser } from '../../src/sources/kubernetes/list-parser.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';
import { apiCluster, type ApiClusterOptions } from '../model/api-cluster.js';

const request: ApiClusterOptions & { readonly kubeconfig: string } = JSON.parse(process.argv[2] ?? '{}');
const authority = await Authority.create();
const server = new ApiServer({ authority, certificate: await authority.server(), bookmarkMs: 5_000, keepPages: true });
server.tokens.set('bench', 'agent');
let count = 0;
for (const manifest of apiCluster(request)) {
  server.put(manifest);
  // Its history of a hundred thousand creations would be larger than the cluster.
  if (++count % 5_000 === 0) server.storage.compact();
}
server.storage.compact();
await server.start();
await writeKubeconfig(request.kubeconfig, server, authority, { token: 'bench' });
// What anybody will ask for is packed once.
const client = new HttpApiClient({ kubeconfig: request.kubeconfig, reader: new InlineCredentials(), clock: systemClock });
const pods = `fieldSelector=${encodeURIComponent('status.phase!=Succeeded,status.phase!=Failed')}`;
for (const [path, query] of [['/api/v1/pods', `limit=500&${pods}`], ['/api/v1/pods', 'limit=500'], ['/apis/networking.k8s.io/v1/networkpolicies', 'limit=500']] as const) {
  for (let token: string | undefined = ''; token !== undefined;) {
    const [limit, ...rest] = query.split('&');
    const asked: string = [limit, ...(token === '' ? [] : [`continue=${token}`]), ...rest].filter((part) => part !== '').join('&');
    const answer = await client.open({ path: `${path}?${asked}`, signal: new AbortController().signal, compressed: true });
    const parser = new ListParser();
    for await (const chunk of unpacked({ bytes: answer.body, packed: answer.packed })) parser.push(chunk);
    const { continueToken } = parser.finish();
    token = continueToken === '' ? undefined : continueToken;
  }
}
await client.close();
console.log('ready');
process.stdin.on('end', () => process.exit(0)).resume();
