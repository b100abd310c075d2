/** What all objects have, and how they are selected. */
export interface ObjectMeta {
  readonly name: string;
  /** Absent for cluster-scoped kinds; 'default' is filled in for namespaced ones. */
  readonly namespace?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Only those that mean something to us (see docs/manifests.md); absent = none. */
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}
/** Kubernetes metav1.LabelSelector. Both empty = matches everything. */
export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly LabelRequirement[];
}
