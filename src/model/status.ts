/** What is told of an object beside its specification, as far as this agent writes it. */
export interface StatusCondition { readonly type: string; readonly status: 'True' | 'False'; readonly message?: string }
export interface Status {
  readonly conditions?: readonly StatusCondition[];
  /** null: it is not to be there. Other fields stay as they are. */
  readonly [field: string]: unknown;
}
