/** Desired state from engines that are shared by many hosts. */
import type { Report } from '../lib/report.js';
import type { BenchContext } from './bench.js';
import { kubernetesRows } from './sources-kubernetes.js';

export async function sources(context: BenchContext): Promise<Report> {
  const { rows, notes } = await kubernetesRows(context);
  return { bench: 'sources', rows, notes };
}
