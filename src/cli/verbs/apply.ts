import { EXIT } from '../exit-codes.js';
import { etcdOption, hostOption } from '../manager.js';
import { filesOption } from '../options.js';
import { readManifests } from '../manifests.js';
import { changesText } from '../render/changes.js';
import { print } from '../render/structured.js';
import { defineVerb } from '../verb.js';
import { printDiff } from './diff.js';

export const apply = defineVerb({
  command: 'apply',
  summary: 'create or change objects kept by the agent itself, or with --etcd for all hosts',
  examples: [
    ['agentctl apply -f policy.yaml --dry-run', 'check the documents and say what would change, as diff does'],
    ['agentctl apply -f manifests/', 'every YAML, JSON and .rules file of a directory'],
    ['agentctl apply -f groups.yaml -f policies/', 'several files and directories, as one change'],
    ['agentctl apply -f policy.yaml --etcd /etc/dfw-agent/agent.yaml', 'in etcd, for every host; a document with metadata.resourceVersion only over that revision'],
    ['agentctl apply -f table.rules --etcd etcd.yaml --host host-7', 'in etcd, for one host'],
    ['kubectl get networkpolicies -A -o yaml | agentctl apply -f -', 'from stdin'],
  ],
  build: (parser) => parser
    .option('file', { ...filesOption, demandOption: true })
    .option('dry-run', { type: 'boolean', default: false, describe: 'validate and report, change nothing' })
    .option('etcd', etcdOption)
    .option('host', hostOption),
  async run({ file, dryRun, etcd, host }, { agent, manager, out, format, palette, stdin }) {
    const documents = await readManifests(file, stdin);
    const store = await manager(etcd, host);
    if (store !== undefined) {
      const changes = dryRun ? await store.diff(documents) : await store.apply(documents);
      await print(out, format, { changes }, () => changesText(changes, dryRun ? ' (dry run)' : ''));
      return EXIT.done;
    }
    const client = await agent();
    if (dryRun) return printDiff(await client.diff({ documents, delete: false, own: true }), out, format, palette, ' (dry run)');
    const changes = await client.apply(documents, { dryRun });
    await print(out, format, { changes }, () => changesText(changes));
    return EXIT.done;
  },
});
