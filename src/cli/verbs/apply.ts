import { filesOption } from '../options.js';
import { readManifests } from '../manifests.js';
import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';

export const apply = defineVerb({
  command: 'apply',
  summary: 'create or change objects kept by the agent itself',
  examples: [
    ['agentctl apply -f policy.yaml --dry-run', 'check the documents and say what would change'],
    ['agentctl apply -f manifests/', 'every YAML, JSON and .rules file of a directory'],
    ['kubectl get networkpolicies -A -o yaml | agentctl apply -f -', 'from stdin'],
  ],
  build: (parser) => parser
    .option('file', { ...filesOption, demandOption: true })
    .option('dry-run', { type: 'boolean', default: false, describe: 'validate and report, change nothing' }),
  async run({ file, dryRun }, { agent, out, format, stdin }) {
    const documents = await readManifests(file, stdin);
    const changes = await (await agent()).apply(documents, { dryRun });
    await print(out, format, { changes }, () => changesText(changes, dryRun ? ' (dry run)' : ''));
  },
});
