import { AgentError } from '../../model/errors.js';
import { namespaceOption } from '../options.js';
import { endpointsText } from '../render/policies.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const query = defineVerb({
  command: 'query <what> [endpoint]',
  summary: 'say which policies apply to a pod, and which rules name it as a peer',
  examples: [
    ['agentctl query endpoint default/web', 'policies applied to the pod in order of evaluation, and rules that name it as a peer'],
    ['agentctl query endpoint -p web -n default', "the same, in antctl's words"],
  ],
  build: (parser) => parser
    .positional('what', { choices: ['endpoint'] as const, demandOption: true, describe: 'what to ask about' })
    .positional('endpoint', { type: 'string', describe: 'namespace/pod' })
    .option('pod', { alias: 'p', type: 'string', requiresArg: true, describe: 'name of the pod' })
    .option('namespace', namespaceOption),
  async run({ endpoint, pod, namespace }, { agent, out, format }) {
    const request = named(endpoint, pod, namespace);
    const view = await (await agent()).queryEndpoint(request);
    await print(out, format, view, () => endpointsText(view));
  },
});

function named(endpoint: string | undefined, pod: string | undefined, namespace: string | undefined): { namespace: string; name: string } {
  if ((endpoint === undefined) === (pod === undefined)) throw new AgentError('E_USAGE', 'query endpoint takes either NAMESPACE/POD or -p POD [-n NAMESPACE]');
  const [first = '', second, ...more] = (endpoint ?? pod ?? '').split('/');
  if (second === undefined && first !== '') return { namespace: namespace ?? 'default', name: first };
  if (pod !== undefined || namespace !== undefined || second === undefined || second === '' || first === '' || more.length > 0) {
    throw new AgentError('E_USAGE', `${JSON.stringify(endpoint ?? pod)} is not NAMESPACE/POD`);
  }
  return { namespace: first, name: second };
}
