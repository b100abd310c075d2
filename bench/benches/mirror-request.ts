/** What the mirror benchmark measures inside of its sandboxes, and what comes back. */
export interface RatesRequest {
  readonly directory: string;
  readonly rounds: number;
  /** Of TCP, and the seconds of each. */
  readonly tcpRounds: number;
  readonly seconds: number;
  /** Changes of a label. */
  readonly labels: number;
  /** Small packets a second, and how many of them. */
  readonly rate: number;
  readonly packets: number;
}

/** What became of the copies of one round. */
export interface Copies {
  readonly copied: number;
  /** Not read by the reader. */
  readonly lost: number;
  /** Of these, in no counter of a device or ring. */
  readonly uncounted: number;
}

export interface RatesAnswer {
  /** By copier, a value a round: bits a second. */
  readonly tcp: Readonly<Record<'none' | 'ours' | 'tc', readonly number[]>>;
  readonly tcpCopies: Readonly<Record<'ours' | 'tc', readonly Copies[]>>;
  /** Packets a second that the sender reached. */
  readonly rates: Readonly<Record<'ours' | 'tc', readonly number[]>>;
  readonly smallCopies: Readonly<Record<'ours' | 'tc', readonly Copies[]>>;
  /** Milliseconds from a label written to the first copy. */
  readonly labelMs: readonly number[];
}

export interface CostRequest {
  readonly directory: string;
  readonly rounds: number;
  readonly burst: number;
  readonly processor: number;
}

/** Nanoseconds a packet, by side of the workload, copier and round. */
export type CostAnswer = Readonly<Record<'in' | 'out', Readonly<Record<'none' | 'ours' | 'tc', readonly number[]>>>>;

export interface EngineRequest {
  readonly directory: string;
  /** Requests that give an alert. */
  readonly requests: number;
  readonly rounds: number;
  /** TCP rates tried, bits a second, ascending. */
  readonly tcpRates: readonly number[];
  readonly seconds: number;
  readonly rate: number;
  readonly packets: number;
}

export interface EngineAnswer {
  /** Milliseconds from the request to the engine's line, and to the enriched alert; one after the other. */
  readonly lineMs: readonly number[];
  readonly alertMs: readonly number[];
  /** By copier and round: what the engine did with the copies of small packets. */
  readonly small: Readonly<Record<'ours' | 'tc', readonly Copies[]>>;
  /** By copier: the highest of the rates, as reached, at which the engine lost nothing; 0: none. */
  readonly tcpBits: Readonly<Record<'ours' | 'tc', readonly number[]>>;
  readonly tcp: Readonly<Record<'ours' | 'tc', readonly Copies[]>>;
}

export interface SwitchRequest {
  readonly directory: string;
  readonly rounds: number;
  readonly seconds: number;
}

export interface SwitchAnswer {
  /** Bits a second, by round. */
  readonly tcp: Readonly<Record<'none' | 'ours' | 'hand', readonly number[]>>;
  readonly copies: Readonly<Record<'ours' | 'hand', readonly Copies[]>>;
}
