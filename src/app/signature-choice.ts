/** Keeps the engine's signatures what the IDPSPolicies in force choose. */
import { selectionOf } from '../compile/inspection.js';
import type { IdpsPolicyObject } from '../model/objects.js';
import type { SignatureSelection } from '../model/signature.js';
import type { SignatureChangeView } from '../model/views.js';
import { describeError } from '../model/errors.js';
import type { Logger } from '../platform/logger.js';

export interface SignatureChoiceOptions {
  /** Resolves when the engine has them, or says why not; what is in force stays then. */
  readonly select: (selection: SignatureSelection) => Promise<SignatureChangeView>;
  readonly log: Logger;
}

export class SignatureChoice {
  private policies: readonly IdpsPolicyObject[] | undefined;
  private chosen: string | undefined;
  private ready = false;

  constructor(private readonly options: SignatureChoiceOptions) {}

  /** Those in force now. Returns at once: compiling signatures takes seconds. Cheap when nothing changed. */
  follow(policies: readonly IdpsPolicyObject[]): void {
    if (policies === this.policies) return;
    this.policies = policies;
    if (this.ready) this.choose(policies);
  }

  /** The engine runs: it has what was chosen before the start, and can be given others. */
  begin(): void {
    if (this.ready) return;
    this.ready = true;
    if (this.policies !== undefined) this.choose(this.policies);
  }

  private choose(policies: readonly IdpsPolicyObject[]): void {
    const selection = selectionOf(policies);
    const text = JSON.stringify(selection);
    if (text === this.chosen) return;
    this.chosen = text;
    const { select, log } = this.options;
    const failed = (reason: string): void => {
      // Asked for again when the policies change, and at the next start.
      log.warn('ids.selection_failed', { reason });
    };
    select(selection).then(({ outcome, detail }) => {
      if (outcome === 'failed') failed(detail);
      else log.info('ids.selection', { policies: policies.length, outcome, detail });
    }, (error: unknown) => failed(describeError(error)));
  }
}
