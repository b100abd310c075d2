/** IDPSPolicy manifests → objects. */
import type { IdpsPolicyObject } from '../../model/objects.js';
import type { SignatureAction, SignatureSelection } from '../../model/signature.js';
import type { IdpsPolicyManifest } from './antrea-manifests.js';
import { refuse } from './checks.js';
import { decodeTrafficAppliedTo, decodeTrafficMatch } from './decode-traffic-control.js';
import { decodeClusterMeta } from './metadata.js';

export function decodeIdpsPolicy(manifest: IdpsPolicyManifest): IdpsPolicyObject {
  const { appliedTo, direction, mode, onFailure, signatures, match } = manifest.spec;
  if (mode !== 'prevent' && onFailure === 'block') throw refuse('spec.onFailure', 'block needs mode prevent: copies hold nothing up');
  return {
    kind: 'IDPSPolicy', metadata: decodeClusterMeta(manifest.metadata), appliedTo: decodeTrafficAppliedTo(appliedTo),
    direction: direction ?? 'Both', mode: mode ?? 'detect', onFailure: onFailure ?? 'bypass', ...decodeTrafficMatch(match), signatures: decodeSelection(signatures ?? {}),
  };
}

function decodeSelection({ severities, categories, sids, disabledSids, overrides }: NonNullable<IdpsPolicyManifest['spec']['signatures']>): SignatureSelection {
  const actions: Record<number, SignatureAction> = {};
  for (const [index, { sid, action }] of (overrides ?? []).entries()) {
    if (actions[sid] !== undefined && actions[sid] !== action) throw refuse(`spec.signatures.overrides[${index}]`, `signature ${sid} has another action before`);
    actions[sid] = action;
  }
  return {
    ...(severities === undefined || severities === null ? {} : { severities }), ...(categories === undefined || categories === null ? {} : { categories }),
    ...(sids === undefined || sids === null ? {} : { sids }), ...(disabledSids === undefined || disabledSids === null ? {} : { disabledSids }),
    ...(Object.keys(actions).length === 0 ? {} : { actions }),
  };
}
