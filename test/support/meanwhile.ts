/** Work that goes on beside a test: never longer than the test, however that ends. */
import { onTestFinished } from 'vitest';

/**
 * Starts `work`, which ends soon after `going()` is false. The returned function ends it and gives its result. A test that fails before
 * that ends it as well; what the work says then is nobody's, and no unhandled rejection.
 */
export function meanwhile<Result>(work: (going: () => boolean) => Promise<Result>): () => Promise<Result> {
  let ended = false;
  const result = work(() => !ended);
  result.catch(() => undefined);
  const end = (): Promise<Result> => {
    ended = true;
    return result;
  };
  onTestFinished(async () => {
    await end().catch(() => undefined);
  });
  return end;
}
