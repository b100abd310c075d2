import type { DiffView } from '../../model/views.js';
import { EXIT } from '../exit-codes.js';
import { etcdOption, hostOption } from '../manager.js';
import { readManifests } from '../manifests.js';
import { filesOption } from '../options.js';
import type { Output, OutputFormat } from '../output.js';
import { changesText } from '../render/changes.js';
import { diffText } from '../render/diff.js';
import type { Palette } from '../render/palette.js';
import { faultLine } from '../render/status.js';
import { print } from '../render/structured.js';
import { defineVerb, type ExitCode } from '../verb.js';
import { objectsOf } from './delete.js';

export const diff = defineVerb({
  command: 'diff',
  summary: 'say what rules, address sets and live connections a change would touch; change nothing',
  examples: [
    ['agentctl diff -f policy.yaml', 'rules and address sets that would change, filter by filter, and connections that would be cut'],
    ['agentctl diff -f groups.yaml -f policies/', 'several files and directories, as one change'],
    ['agentctl diff -f policy.yaml --delete', 'the same for deleting what the file names'],
    ['agentctl diff -f policy.yaml --etcd etcd.yaml', 'which objects in etcd would be created, changed or deleted; what that means on a host, diff without --etcd says there'],
    ['agentctl diff -f policy.yaml -o json | jq .flowsCut', 'connections that would lose their permission'],
  ],
  build: (parser) => parser
    .option('file', { ...filesOption, demandOption: true })
    .option('delete', { type: 'boolean', default: false, describe: 'as if the objects that the documents name were deleted' })
    .option('etcd', etcdOption)
    .option('host', hostOption),
  async run({ file, delete: remove, etcd, host }, { agent, manager, out, format, palette, stdin }) {
    const documents = await readManifests(file, stdin);
    const store = await manager(etcd, host);
    if (store !== undefined) {
      const changes = remove ? await store.delete(documents.flatMap(objectsOf), true) : await store.diff(documents);
      await print(out, format, { changes }, () => changesText(changes));
      return EXIT.done;
    }
    return printDiff(await (await agent()).diff({ documents, delete: remove, own: false }), out, format, palette);
  },
});

/** Exit 1 when a document is refused or would be held. */
export async function printDiff(view: DiffView, out: Output, format: OutputFormat, palette: Palette, suffix = ''): Promise<ExitCode> {
  await print(out, format, view, () => diffText(view, palette, suffix));
  if (format === 'text') for (const fault of view.errors) out.message(`agentctl: ${faultLine(fault)}`);
  return view.errors.length === 0 ? EXIT.done : EXIT.failed;
}
