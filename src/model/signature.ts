/** Signatures of the intrusion detection, as the agent knows them, and which of them shall be in force. */

export const SIGNATURE_ACTIONS = ['alert', 'drop', 'reject', 'pass'] as const;
export type SignatureAction = (typeof SIGNATURE_ACTIONS)[number];

/** What a signature says of itself. */
export interface Signature {
  /** Unique among the signatures of one set. */
  readonly sid: number;
  /** 0 where the signature names none. */
  readonly rev: number;
  /** First word: a SignatureAction, or one that only the engine knows ("rejectboth"). */
  readonly action: string;
  /** 1 is the most severe; as its alerts will have it (rule-text.ts says where it comes from). */
  readonly severity: number;
  /** Its classtype; '' when it has none. */
  readonly category: string;
  readonly message: string;
}

/**
 * Which signatures are in force, and with what action. What is absent selects nothing out: {} is all of them.
 * `severities` and `categories` must both agree; `sids` are selected besides. With `sids` alone only these are selected.
 * `disabledSids` are never in force, whatever else names them.
 */
export interface SignatureSelection {
  /** 1 to 4; a signature with a greater number counts as 4. */
  readonly severities?: readonly number[];
  /** Classtypes, in any case. */
  readonly categories?: readonly string[];
  readonly sids?: readonly number[];
  readonly disabledSids?: readonly number[];
  /** What any of these selects, and nothing else; no other field but `actions` counts then. Not empty. */
  readonly anyOf?: readonly Omit<SignatureSelection, 'anyOf' | 'actions'>[];
  /** By sid: the action instead of the signature's own. Selects nothing by itself. */
  readonly actions?: Readonly<Record<number, SignatureAction>>;
}

const LEAST_SEVERE = 4;

/** The selection as a question that is asked for each of many thousand signatures. */
export class Selector {
  private readonly severities: ReadonlySet<number> | undefined;
  private readonly categories: ReadonlySet<string> | undefined;
  private readonly sids: ReadonlySet<number>;
  private readonly disabled: ReadonlySet<number>;
  private readonly onlySids: boolean;
  private readonly anyOf: readonly Selector[] | undefined;

  constructor(private readonly selection: SignatureSelection) {
    const { severities, categories, sids, disabledSids } = selection;
    this.severities = severities === undefined ? undefined : new Set(severities);
    this.categories = categories === undefined ? undefined : new Set(categories.map((category) => category.toLowerCase()));
    this.sids = new Set(sids);
    this.disabled = new Set(disabledSids);
    this.anyOf = selection.anyOf?.map((one) => new Selector(one));
    this.onlySids = sids !== undefined && severities === undefined && categories === undefined;
  }

  selects(signature: Signature): boolean {
    if (this.anyOf !== undefined) return this.anyOf.some((one) => one.selects(signature));
    const { sid, severity, category } = signature;
    if (this.disabled.has(sid)) return false;
    if (this.sids.has(sid)) return true;
    if (this.onlySids) return false;
    return (this.severities?.has(Math.min(severity, LEAST_SEVERE)) ?? true) && (this.categories?.has(category.toLowerCase()) ?? true);
  }

  /** undefined: its own. */
  actionOf(sid: number): SignatureAction | undefined {
    return this.selection.actions?.[sid];
  }
}
