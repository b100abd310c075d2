/** The verbs in the order of the help. */
import type { Verb } from '../verb.js';
import { addresses } from './addresses.js';
import { apply } from './apply.js';
import { attach } from './attach.js';
import { capture } from './capture.js';
import { cleanup } from './cleanup.js';
import { completion } from './completion.js';
import { deleteVerb } from './delete.js';
import { detach } from './detach.js';
import { diff } from './diff.js';
import { get } from './get.js';
import { getaddrsets } from './getaddrsets.js';
import { getalerts } from './getalerts.js';
import { getconfig } from './getconfig.js';
import { getconncount } from './getconncount.js';
import { getegress } from './getegress.js';
import { getfilters } from './getfilters.js';
import { getfilterstat } from './getfilterstat.js';
import { getflows } from './getflows.js';
import { getfqdncache } from './getfqdncache.js';
import { getrules } from './getrules.js';
import { gettrafficcontrol } from './gettrafficcontrol.js';
import { health } from './health.js';
import { ids } from './ids.js';
import { loglevel } from './loglevel.js';
import { query } from './query.js';
import { status } from './status.js';
import { summarizeDvfilter } from './summarize-dvfilter.js';
import { sync } from './sync.js';
import { trace } from './trace.js';
import { version } from './version.js';

export const VERBS: readonly Verb[] = [
  getfilters, summarizeDvfilter, getrules, getaddrsets, getflows, getconfig, getfilterstat, getconncount, trace,
  get, query, diff, apply, deleteVerb, attach, detach, sync,
  getfqdncache, addresses, gettrafficcontrol, getegress, getalerts, ids, capture,
  status, health, version, loglevel, cleanup, completion,
];
