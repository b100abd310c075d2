/** A benchmark: measures, and says what it measured. */
import type { Report } from '../lib/report.js';

export interface BenchContext {
  /** Small sizes, few rounds. */
  readonly quick: boolean;
  /** Scratch directory of this run; removed afterwards. */
  readonly directory: string;
  readonly progress: (text: string) => void;
}

export type Bench = (context: BenchContext) => Promise<Report>;
