/** What lowering needs to know besides the policy itself. */
export interface LoweringContext {
  /** Number of a tier, built-in ones included; undefined where there is none of this name. */
  tierPriority(name: string): number | undefined;
  /** Whether the namespace carries Antrea's `networkpolicy.antrea.io/enable-logging: "true"`. */
  loggingAnnotation(namespace: string): boolean;
}
