/** Which of the kinds an object is, and what Antrea's annotation says of a Namespace. */
import type { DesiredObject, NamespaceObject, PodObject } from '../../model/objects.js';
import { POLICY_KINDS, type PolicyObject, type TierObject } from '../../model/policy-objects.js';
import type { InventoryObject } from './population.js';

const LOGGING = 'networkpolicy.antrea.io/enable-logging';

export function logs(namespace: NamespaceObject | undefined): boolean {
  return namespace?.metadata.annotations?.[LOGGING]?.toLowerCase() === 'true';
}

export function isPolicy(object: DesiredObject | undefined): object is PolicyObject {
  return object !== undefined && Object.hasOwn(POLICY_KINDS, object.kind);
}

export function isTier(object: DesiredObject | undefined): object is TierObject {
  return object?.kind === 'Tier';
}

export function isPod(object: InventoryObject | undefined): object is PodObject {
  return object?.kind === 'Pod';
}

export function isNamespace(object: InventoryObject | undefined): object is NamespaceObject {
  return object?.kind === 'Namespace';
}
