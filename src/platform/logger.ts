/** Structured log: an event name and keys. Implemented over pino in app/; tests may collect lines. */
export interface Logger {
  error(event: string, keys?: Readonly<Record<string, unknown>>): void;
  warn(event: string, keys?: Readonly<Record<string, unknown>>): void;
  info(event: string, keys?: Readonly<Record<string, unknown>>): void;
  debug(event: string, keys?: Readonly<Record<string, unknown>>): void;
  child(component: string): Logger;
}
