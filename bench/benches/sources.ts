/** Desired state from engines that are shared by many hosts. */
import type { Report } from '../lib/report.js';
import type { BenchContext } from './bench.js';
import { etcdRows } from './sources-etcd.js';
import { kubernetesRows } from './sources-kubernetes.js';

export async function sources(context: BenchContext): Promise<Report> {
  const etcd = await etcdRows(context);
  const kubernetes = await kubernetesRows(context);
  return { bench: 'sources', rows: [...kubernetes.rows, ...etcd.rows], notes: [...kubernetes.notes, ...etcd.notes] };
}
