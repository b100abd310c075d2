/**
 * Shell completion. The script that a shell sources calls `agentctl __complete -- WORDS...` with the words up to the cursor;
 * the answer is one candidate a line. Verbs and options come from the parser, filters and objects from the agent, if it answers.
 */
import type { RemoteAgentApi } from '../api/client.js';
import { kindCandidates, resolveKind } from './kinds.js';
import { workloadName } from './render/filters.js';

export const COMPLETE_VERB = '__complete';

// Not compgen -W, which expands its words: names come from manifests and must not be run. %q quotes what needs it.
const BASH = `# bash completion of agentctl
_agentctl_complete() {
  local candidate quoted
  COMPREPLY=()
  while IFS= read -r candidate; do
    printf -v quoted '%q' "$candidate"
    COMPREPLY+=("$quoted")
  done < <(agentctl ${COMPLETE_VERB} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _agentctl_complete agentctl
`;

const ZSH = `#compdef agentctl
_agentctl() {
  local -a candidates
  candidates=("\${(@f)$(agentctl ${COMPLETE_VERB} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then
    compadd -- "\${candidates[@]}"
  else
    _files
  fi
}
if [ "$funcstack[1]" = "_agentctl" ]; then
  _agentctl "$@"
else
  compdef _agentctl agentctl
fi
`;

export function completionScript(shell: 'bash' | 'zsh'): string {
  return shell === 'bash' ? BASH : ZSH;
}

/** What may stand at the cursor besides verbs and options. */
export type DynamicWord = 'filter' | 'kind' | 'name' | 'pod' | 'namespace' | 'format' | 'category' | 'severity' | 'address' | 'none';

const TAKES_FILTER: ReadonlySet<string> = new Set(['getrules', 'getaddrsets', 'getflows', 'getconfig', 'getfilterstat', 'getconncount', 'capture']);
const TAKES_KIND: ReadonlySet<string> = new Set(['get', 'delete']);

/** Decides by the words before the cursor (the last of `words` is the one being typed, perhaps empty). */
export function dynamicWord(words: readonly string[]): DynamicWord {
  const [verb = ''] = words;
  const previous = words.at(-2) ?? '';
  if (previous === '-o' || previous === '--output') return 'format';
  if ((previous === '-f' || previous === '--filter') && TAKES_FILTER.has(verb)) return 'filter';
  if (verb === 'detach' && words.length === 2) return 'filter';
  if (verb === 'addresses' && words.length === 3) return 'filter';
  if (verb === 'addresses' && words.length === 4) return 'address';
  if (previous === '-n' || previous === '--namespace') return 'namespace';
  if (verb === 'query' && (previous === '-p' || previous === '--pod' || (previous === 'endpoint' && words.length === 3))) return 'pod';
  if (verb === 'ids' && previous === '--category') return 'category';
  if (verb === 'ids' && previous === '--severity') return 'severity';
  if (TAKES_KIND.has(verb) && words.length === 2) return 'kind';
  if (TAKES_KIND.has(verb) && words.length === 3) return 'name';
  return 'none';
}

export async function dynamicCandidates(words: readonly string[], agent: () => Promise<RemoteAgentApi>): Promise<string[]> {
  switch (dynamicWord(words)) {
    case 'format':
      return ['text', 'json', 'yaml'];
    case 'kind':
      return kindCandidates();
    case 'filter':
      return (await (await agent()).getFilters()).flatMap((filter) => [filter.name, filter.interface, workloadName(filter.workload)]);
    case 'name':
      return namesOf(words, await agent());
    case 'namespace':
      return (await (await agent()).get('Namespace')).map((object) => object.name);
    case 'pod':
      return (await (await agent()).get('Pod')).map((object) => (words.at(-2) === 'endpoint' ? `${object.namespace ?? 'default'}/${object.name}` : object.name));
    case 'category':
      return (await (await agent()).getSignatures({})).signatures.map((signature) => signature.category).filter((category) => category !== '');
    case 'address':
      return learnedAddresses(words, await agent());
    case 'severity':
      return ['1', '2', '3', '4'];
    case 'none':
      return [];
  }
}

/** Those that can be approved, or released. */
async function learnedAddresses([, action, filter = '']: readonly string[], agent: RemoteAgentApi): Promise<string[]> {
  const states = action === 'approve' ? ['pending'] : ['bound', 'pending'];
  return (await agent.listAddresses(filter)).filter(({ state }) => states.includes(state)).map(({ address }) => address);
}

/** What is asked for by a name may be of more kinds than what goes by it. */
async function namesOf([verb, kind = '']: readonly string[], agent: RemoteAgentApi): Promise<string[]> {
  const resolved = resolveKind(kind);
  const objects = await agent.get(resolved.kind);
  const named = new Set(resolved.kinds.map((info) => info.kind));
  return objects.filter((object) => verb === 'get' || named.has(object.kind)).map((object) => object.name);
}
