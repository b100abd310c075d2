/** Changes to rule files that leave every other byte as it was: signatures switched off, actions replaced. */
import { Selector, type Signature, type SignatureSelection } from '../../../model/signature.js';
import type { Turns } from '../../../platform/turns.js';
import { actionWord, parseSignature, ruleSpans, type PriorityOf, type RuleSpan } from './rule-text.js';

interface Edit { readonly at: number; readonly removed: number; readonly inserted: string }

/** What becomes of a signature that the file has in force: undefined keeps it as it is. */
export type Decision = (signature: Signature | undefined, span: RuleSpan) => 'off' | { readonly action: string } | undefined;

export interface EditedRules {
  /** The whole file, in pieces. */
  readonly pieces: readonly Uint8Array[];
  /** In force after the edits. */
  readonly enabled: number;
  /** Commented out in the file as it came. */
  readonly disabledBefore: number;
  /** Switched off by the edits. */
  readonly switchedOff: number;
}

/**
 * Edits a rule file. A signature that is switched off gets "# " before each of its lines, so that line numbers stay; one that was commented
 * out already is left alone. Long files are worked on in portions: `turns` lets other work in between.
 */
export async function editRules(content: Buffer, priorityOf: PriorityOf, decide: Decision, turns: Turns): Promise<EditedRules> {
  const edits: Edit[] = [];
  let enabled = 0;
  let disabledBefore = 0;
  let switchedOff = 0;
  const text = content.toString('latin1');
  await turns.breathe();
  for (const span of ruleSpans(text)) {
    if (span.enabled) {
      const decision = decide(parseSignature(span.text, priorityOf), span);
      if (decision === 'off') {
        switchedOff += 1;
        for (const at of span.starts) edits.push({ at, removed: 0, inserted: '# ' });
      } else {
        enabled += 1;
        const word = actionWord(span.text);
        if (decision !== undefined && decision.action !== word) edits.push({ at: span.starts[0] ?? 0, removed: word.length, inserted: decision.action });
      }
    } else {
      disabledBefore += 1;
    }
    await turns.breathe();
  }
  return { pieces: apply(content, edits), enabled, disabledBefore, switchedOff };
}

/** The decision that a selection makes. Rules without a sid are kept: the engine's test names them. */
export function decisionOf(selection: SignatureSelection): Decision {
  const selector = new Selector(selection);
  return (signature) => {
    if (signature === undefined) return undefined;
    if (!selector.selects(signature)) return 'off';
    const action = selector.actionOf(signature.sid);
    return action === undefined ? undefined : { action };
  };
}

/** A rule file as the engine shall load it under the selection. */
export function selectRules(content: Buffer, selection: SignatureSelection, priorityOf: PriorityOf, turns: Turns): Promise<EditedRules> {
  return editRules(content, priorityOf, decisionOf(selection), turns);
}

/** Edits are in order and do not overlap. */
function apply(content: Buffer, edits: readonly Edit[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const { at, removed, inserted } of edits) {
    if (at > from) pieces.push(content.subarray(from, at));
    pieces.push(Buffer.from(inserted, 'latin1'));
    from = at + removed;
  }
  if (from < content.length) pieces.push(content.subarray(from));
  return pieces;
}
