import type { SignatureFaultView } from '../../../model/views.js';
import { parseEngineLine } from '../engine-log.js';

/** More than any rule set has signatures; a bound against an engine that does not stop complaining. */
const MOST_FAULTS = 100_000;
const LONGEST_REASON = 300;
const REFUSED = /^error parsing signature "([\s\S]*)" from file (.+) at line (\d+)$/;
const PASSED_OVER = /^Skipping signature due to missing requirements: /;
const SUMMARY = /(\d+) rules successfully loaded, (\d+) rules failed/;
/** A message is cut at 2,048 bytes (SC_LOG_MAX_LOG_MSG_LEN), in the middle of its JSON: of a long signature only the beginning comes. */
const CUT = /"message":"error parsing signature \\"(.*)$/;

/** What the engine says while it loads signatures: the reasons first, then the signature they belong to. */
export class TestOutput {
  readonly faults: SignatureFaultView[] = [];
  /** Beginnings of refused signatures whose place was cut off, by index in `faults`. */
  readonly unplaced = new Map<number, string>();
  loaded = 0;
  skipped = 0;
  #named = 0;
  #summed = 0;
  #reasons: string[] = [];
  #cause = '';

  /** The engine's own sum comes on another pipe than the signatures that it counts, sooner or later. */
  get failed(): number {
    return Math.max(this.#named, this.#summed);
  }

  /** First error that belongs to no signature; '' when there was none. */
  get cause(): string {
    return this.#cause === '' ? (this.#reasons[0] ?? '') : this.#cause;
  }

  line(text: string): void {
    const parsed = parseEngineLine(text);
    if (parsed === undefined) return;
    const { level, message, module } = parsed;
    if (PASSED_OVER.test(message)) this.skipped += 1;
    const summary = SUMMARY.exec(message);
    if (summary !== null) {
      this.loaded = Number(summary[1]);
      this.#summed = Number(summary[2]);
    }
    if (level !== 'error') return;
    const refused = REFUSED.exec(message);
    const cut = CUT.exec(message);
    if (refused !== null) this.#fault(refused[2] ?? '', Number(refused[3]), refused[1] ?? '');
    else if (cut !== null) this.#fault('', 0, unescaped(cut[1] ?? ''));
    else if (module.startsWith('detect')) this.#reasons.push(message);
    else if (this.#cause === '' && this.failed === 0) this.#cause = message.slice(0, LONGEST_REASON);
  }

  #fault(file: string, line: number, signature: string): void {
    this.#named += 1;
    const reason = this.#reasons.map((each) => (each.startsWith('Duplicate signature') ? 'duplicate of an earlier signature' : each)).join('; ');
    this.#reasons = [];
    if (this.faults.length >= MOST_FAULTS) return;
    const sid = /[;(\s]sid\s*:\s*(\d{1,10})\s*;/i.exec(signature)?.[1];
    if (file === '') this.unplaced.set(this.faults.length, signature);
    this.faults.push({ file, line, ...(sid === undefined ? {} : { sid: Number(sid) }), reason: reason === '' ? 'refused by the engine' : reason.slice(0, LONGEST_REASON) });
  }
}

/** A piece of a JSON string, perhaps cut in an escape. */
function unescaped(piece: string): string {
  try {
    const value: unknown = JSON.parse(`"${piece.replace(/\\(?:u[0-9a-fA-F]{0,3})?$/, '')}"`);
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}
