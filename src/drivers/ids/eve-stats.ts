import type { EveRecord } from './eve-tail.js';

/** What the engine says of itself; counts since its start. */
export interface EngineStats {
  readonly timestamp: string;
  readonly uptimeSeconds: number;
  /** Packets that reached the engine's socket, and those it was too slow for. */
  readonly packets: number;
  readonly dropped: number;
  readonly bytes: number;
  readonly alerts: number;
  readonly activeFlows: number;
  /** Bytes in use by stream reassembly and flow tables together. */
  readonly memory: number;
  /** How often something was not kept or not inspected because a memory cap was reached. */
  readonly memcapHits: number;
}

const MEMCAPS = [['flow', 'memcap'], ['tcp', 'ssn_memcap_drop'], ['tcp', 'segment_memcap_drop'], ['defrag', 'max_frag_hits'], ['http', 'memcap'], ['ftp', 'memcap']] as const;

/** Reads a record of event_type "stats"; undefined for other events. A counter the engine leaves out is 0. */
export function parseEveStats(record: EveRecord): EngineStats | undefined {
  if (record['event_type'] !== 'stats') return undefined;
  const stats = record['stats'];
  const timestamp = record['timestamp'];
  const at = (...path: string[]): number => counter(stats, path);
  return {
    timestamp: typeof timestamp === 'string' ? timestamp : '',
    uptimeSeconds: at('uptime'),
    packets: at('capture', 'kernel_packets'),
    dropped: at('capture', 'kernel_drops'),
    bytes: at('decoder', 'bytes'),
    alerts: at('detect', 'alert'),
    activeFlows: at('flow', 'active'),
    memory: at('flow', 'memuse') + at('tcp', 'memuse') + at('tcp', 'reassembly_memuse'),
    memcapHits: MEMCAPS.reduce((sum, path) => sum + at(...path), 0),
  };
}

function counter(stats: unknown, path: readonly string[]): number {
  let value: unknown = stats;
  for (const key of path) value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return typeof value === 'number' ? value : 0;
}
