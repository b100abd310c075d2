/** The pairs of devices between the datapath and the IDS engine. */
import type { InspectionPorts } from '../compile/inspection.js';
import type { Config } from './config-schema.js';

export interface IdsDevicePair {
  /** The end that the datapath sends to, or gets frames from. */
  readonly datapath: string;
  readonly engine: string;
  /** Traffic itself goes through it, and goes on as it is: frames must be finished. */
  readonly inPath: boolean;
}

/** None where intrusion detection is off. */
export function idsDevices({ ids }: Pick<Config, 'ids'>): readonly IdsDevicePair[] {
  if (!ids.enabled) return [];
  return [
    { datapath: ids.tap, engine: ids.sensor, inPath: false },
    ...(ids.mode === 'ips' ? [{ datapath: ids.inlineTap, engine: ids.inlineSensor, inPath: true }, { datapath: ids.returnTap, engine: ids.returnSensor, inPath: true }] : []),
  ];
}

/** Undefined where intrusion detection is off. */
export function inspectionPorts({ ids }: Pick<Config, 'ids'>): InspectionPorts | undefined {
  if (!ids.enabled) return undefined;
  return { tap: ids.tap, ...(ids.mode === 'ips' ? { inline: { tap: ids.inlineTap, returnTap: ids.returnTap } } : {}) };
}
