/** The API server of a measurement, with its cluster, in a process of its own. Ends with its parent's pipe. */
import { Authority } from '../../test/support/api-server/certificates.js';
import { writeKubeconfig } from '../../test/support/api-server/kubeconfig.js';
import { ApiServer } from '../../test/support/api-server/server.js';
import { AGENT_LISTS, INFORMER_LISTS, readPages } from '../lib/api-pages.js';
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
await readPages(request.kubeconfig, [...AGENT_LISTS, ...INFORMER_LISTS]);
console.log('ready');
process.stdin.on('end', () => process.exit(0)).resume();
