import { EXIT } from '../exit-codes.js';
import { filesOption } from '../options.js';
import { readManifests } from '../manifests.js';
import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import { printDiff } from './diff.js';

export const apply = defineVerb({
  command: 'apply',
  summary: 'create or change objects kept by the agent itself',
  examples: [
    ['agentctl apply -f policy.yaml --dry-run', 'check the documents and say what would change, as diff does'],
    ['agentctl apply -f manifests/', 'every YAML, JSON and .rules file of a directory'],
    ['agentctl apply -f groups.yaml -f policies/', 'several files and directories, as one change'],
    ['kubectl get networkpolicies -A -o yaml | agentctl apply -f -', 'from stdin'],
  ],
  build: (parser) => parser
    .option('file', { ...filesOption, demandOption: true })
    .option('dry-run', { type: 'boolean', default: false, describe: 'validate and report, change nothing' }),
  async run({ file, dryRun }, { agent, out, format, palette, stdin }) {
    const documents = await readManifests(file, stdin);
    const client = await agent();
    if (dryRun) return printDiff(await client.diff({ documents, delete: false, own: true }), out, format, palette, ' (dry run)');
    const changes = await client.apply(documents, { dryRun });
    await print(out, format, { changes }, () => changesText(changes));
    return EXIT.done;
  },
});
