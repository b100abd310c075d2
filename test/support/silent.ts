import type { Logger } from '../../src/platform/logger.js';

/** A log that nobody reads. */
export const silent: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined, child: () => silent };
