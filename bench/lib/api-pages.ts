/** How long the server alone takes: the pages of Pods and NetworkPolicies, asked for as the agent asks for them, unpacked, and thrown away. */
import { systemClock } from '../../src/platform/clock.js';
import { HttpApiClient } from '../../src/sources/kubernetes/api-client.js';
import { unpacked } from '../../src/sources/kubernetes/list-body.js';
import { ListSplitter } from '../../src/sources/kubernetes/list-parser.js';
import { InlineCredentials } from '../../src/sources/kubernetes/read-credentials.js';

/** Every page of these lists, one after the other, the lists at once; milliseconds. */
export async function readPages(kubeconfig: string, paths: readonly (readonly [path: string, query: string])[]): Promise<number> {
  const client = new HttpApiClient({ kubeconfig, reader: new InlineCredentials(), clock: systemClock });
  const started = performance.now();
  await Promise.all(paths.map(async ([path, query]) => {
    for (let token: string | undefined = ''; token !== undefined;) {
      const asked: string = ['limit=500', ...(token === '' ? [] : [`continue=${token}`]), ...(query === '' ? [] : [query])].join('&');
      const { body, packed } = await client.open({ path: `${path}?${asked}`, signal: new AbortController().signal, compressed: true });
      const splitter = new ListSplitter();
      for await (const chunk of unpacked({ bytes: body, packed })) splitter.push(chunk, () => undefined);
      const { continueToken } = splitter.finish();
      token = continueToken === '' ? undefined : continueToken;
    }
  }));
  const ms = performance.now() - started;
  await client.close();
  return ms;
}

const RUNNING = `fieldSelector=${encodeURIComponent('status.phase!=Succeeded,status.phase!=Failed')}`;
export const AGENT_LISTS = [['/api/v1/pods', RUNNING], ['/apis/networking.k8s.io/v1/networkpolicies', '']] as const;
export const INFORMER_LISTS = [['/api/v1/pods', '']] as const;
