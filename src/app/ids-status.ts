import type { IdsStatus } from '../drivers/ids/ids.js';
import type { IdsStatusView } from '../model/views.js';

/** `agentctl ids status`, from what the driver says. */
export function idsStatus({ kind, engine, signatures, stats }: IdsStatus): IdsStatusView {
  const { set, bundle, refused, directory = '' } = signatures ?? {};
  const counts = engine?.rules;
  return {
    engine: engine === undefined
      ? { kind: 'external', state: 'external', reason: '', since: '', restarts: 0 }
      : { kind, state: engine.state, reason: engine.reason, since: engine.since, ...(engine.pid === undefined ? {} : { pid: engine.pid }), restarts: engine.restarts,
        ...(engine.bounds === '' ? {} : { bounds: engine.bounds }),
      },
    ...(signatures === undefined ? {} : {
      signatures: {
        loaded: counts?.loaded ?? set?.loaded ?? 0,
        // Those that were left out so that the rest passes its test, and those that the engine refused in spite of it.
        failed: (set?.failed ?? 0) + (counts?.failed ?? 0),
        skipped: counts?.skipped ?? set?.skipped ?? 0,
        directory, testedAt: set?.testedAt ?? '',
      },
    }),
    ...(bundle === undefined ? {} : { bundle }),
    ...(refused === undefined ? {} : { refused }),
    packets: stats?.packets ?? 0, dropped: stats?.dropped ?? 0, memory: stats?.memory ?? 0, memcapHits: stats?.memcapHits ?? 0,
  };
}
