/** Selectors of namespaced things (pods), found by a thing's namespace and labels. */
import type { LabelSelector } from '../../model/metadata.js';
import type { Labels } from '../../model/selector.js';
import { getOrAdd, LabelIndex } from './label-index.js';
import { selectorKey } from './selector-key.js';

/** Namespaces: the one by name, those that a selector chooses, or (both absent) all. */
export interface Scope {
  readonly namespace?: string;
  readonly namespaceSelector?: LabelSelector;
}

interface NamespaceScope<T> {
  readonly key: string;
  readonly index: LabelIndex<T>;
}

export class ScopeIndex<T> {
  private readonly everywhere = new LabelIndex<T>();
  private readonly byName = new Map<string, LabelIndex<T>>();
  private readonly bySelector = new Map<string, NamespaceScope<T>>();
  private readonly namespaces = new LabelIndex<NamespaceScope<T>>();

  add(scope: Scope, selector: LabelSelector | undefined, payload: T): void {
    if (scope.namespaceSelector !== undefined) {
      const { namespaceSelector } = scope;
      const key = selectorKey(namespaceSelector);
      getOrAdd(this.bySelector, key, () => {
        const fresh = { key, index: new LabelIndex<T>() };
        this.namespaces.add(namespaceSelector, fresh);
        return fresh;
      }).index.add(selector, payload);
    } else if (scope.namespace !== undefined) getOrAdd(this.byName, scope.namespace, () => new LabelIndex<T>()).add(selector, payload);
    else this.everywhere.add(selector, payload);
  }

  /** With the scope it was added under. */
  delete(scope: Scope, payload: T): void {
    if (scope.namespaceSelector !== undefined) {
      const key = selectorKey(scope.namespaceSelector);
      const found = this.bySelector.get(key);
      found?.index.delete(payload);
      if (found?.index.size !== 0) return;
      this.bySelector.delete(key);
      this.namespaces.delete(found);
    } else if (scope.namespace !== undefined) {
      const index = this.byName.get(scope.namespace);
      index?.delete(payload);
      if (index?.size === 0) this.byName.delete(scope.namespace);
    } else this.everywhere.delete(payload);
  }

  /** Calls `found` for each payload that matches; once for each time that it was added. */
  match(namespace: string, namespaceLabels: Labels, labels: Labels, found: (payload: T) => void): void {
    this.everywhere.match(labels, found);
    this.byName.get(namespace)?.match(labels, found);
    if (this.bySelector.size > 0) this.namespaces.match(namespaceLabels, ({ index }) => index.match(labels, found));
  }

  /** Payloads that are scoped by a namespace selector matching these labels. */
  scopedBySelector(namespaceLabels: Labels, found: (payload: T) => void): void {
    this.namespaces.match(namespaceLabels, ({ index }) => {
      for (const payload of index.payloads()) found(payload);
    });
  }
}
