/** TrafficControl manifests → objects. */
import type { TrafficControlObject } from '../../model/objects.js';
import type { TargetPortManifest, TrafficControlManifest } from './antrea-manifests.js';
import { interfaceProblem } from '../../model/names.js';
import { refuse, refuseIf } from './checks.js';
import { decodeClusterMeta } from './metadata.js';
import { decodeOptionalSelector } from './selectors.js';

export function decodeTrafficControl(manifest: TrafficControlManifest): TrafficControlObject {
  const { appliedTo, direction, action, targetPort, returnPort } = manifest.spec;
  if (action === 'Redirect' && returnPort === undefined) throw refuse('spec.returnPort', 'action Redirect needs a returnPort');
  if (action === 'Mirror' && returnPort !== undefined) throw refuse('spec.returnPort', 'action Mirror takes no returnPort');
  if (returnPort !== undefined) deviceOf(returnPort, 'spec.returnPort');
  const podSelector = decodeOptionalSelector(appliedTo.podSelector, 'spec.appliedTo.podSelector');
  const namespaceSelector = decodeOptionalSelector(appliedTo.namespaceSelector, 'spec.appliedTo.namespaceSelector');
  return {
    kind: 'TrafficControl',
    metadata: decodeClusterMeta(manifest.metadata),
    appliedTo: { ...(podSelector === undefined ? {} : { podSelector }), ...(namespaceSelector === undefined ? {} : { namespaceSelector }) },
    direction,
    action,
    targetDevice: deviceOf(targetPort, 'spec.targetPort'),
  };
}

function deviceOf(port: TargetPortManifest, path: string): string {
  const [kind, ...others] = Object.keys(port);
  if (kind === undefined || others.length > 0) throw refuse(path, 'give exactly one of device and ovsInternal');
  const named = port.device ?? port.ovsInternal;
  if (named === undefined) {
    throw refuse(`${path}.${kind}`, `a tunnel (${kind}) is not supported by this version yet; use device or ovsInternal`);
  }
  refuseIf(interfaceProblem(named.name), `${path}.${kind}.name`);
  return named.name;
}
