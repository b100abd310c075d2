import { describe, expect, it } from 'vitest';
import { AgentError, isAgentError } from '../../../src/model/errors.js';
import { PinoLogger } from '../../../src/platform/pino-logger.js';

function collecting(level: 'error' | 'warn' | 'info' | 'debug' = 'info'): { log: PinoLogger; lines: () => Record<string, unknown>[] } {
  const texts: string[] = [];
  const log = PinoLogger.create({ level, component: 'agent', destination: { write: (text) => texts.push(text) } });
  return { log, lines: () => texts.map((text) => JSON.parse(text) as Record<string, unknown>) };
}

describe('PinoLogger', () => {
  it('writes one JSON line with level name, ISO time, component, event and keys', () => {
    const { log, lines } = collecting();
    log.info('source.loaded', { files: 3 });
    log.child('nftables').warn('apply.slow', { ms: 12.5 });
    expect(lines()).toEqual([
      { level: 'info', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/), component: 'agent', event: 'source.loaded', files: 3 },
      { level: 'warn', time: expect.any(String), component: 'nftables', event: 'apply.slow', ms: 12.5 },
    ]);
  });

  it('lets only the level and worse through, and children follow when it is set', () => {
    const { log, lines } = collecting('warn');
    const child = log.child('x');
    child.info('hidden');
    expect(log.setLevel('debug')).toBe('debug');
    child.debug('shown');
    child.setLevel('error');
    log.warn('hidden again');
    expect(lines().map(({ event }) => event)).toEqual(['shown']);
    expect(log.level).toBe('error');
  });

  it('refuses a level that does not exist and keeps the one it has', () => {
    const { log } = collecting();
    expect(() => log.setLevel('verbose')).toThrow('error, warn, info, debug');
    expect(log.level).toBe('info');
  });

  it('shows errors with code, object, path and cause; stacks only of unexpected ones', () => {
    const { log, lines } = collecting();
    const cause = new AgentError('E_KERNEL', 'no buffer space', { object: 'nf_tables', retryable: true });
    log.error('apply.failed', { error: new AgentError('E_INVALID', 'bad port', { object: 'RuleTable/a', path: 'spec.rules[0]', cause }), plain: new TypeError('oops') });
    const [line] = lines();
    expect(line?.['error']).toEqual({
      code: 'E_INVALID', message: 'bad port', object: 'RuleTable/a', path: 'spec.rules[0]',
      cause: { code: 'E_KERNEL', message: 'no buffer space', object: 'nf_tables', retryable: true },
    });
    expect(line?.['plain']).toMatchObject({ name: 'TypeError', message: 'oops', stack: expect.stringContaining('TypeError: oops') });
  });

  it('writes what JSON cannot: big integers, maps, sets, errors in lists; and reserved names', () => {
    const { log, lines } = collecting();
    log.info('x', { big: 2n ** 64n, map: new Map([['a', 1n]]), set: new Set([1]), list: [new Error('e')], level: 7, time: 'now', event: 'y' });
    expect(lines()[0]).toMatchObject({ event: 'x', event_: 'y', level: 'info', level_: 7, time_: 'now', big: '18446744073709551616', map: { a: '1' }, set: [1], list: [{ message: 'e' }] });
  });

  it('survives a value that holds itself', () => {
    const { log, lines } = collecting();
    const loop: Record<string, unknown> = { name: 'loop' };
    loop['self'] = loop;
    log.info('x', { loop });
    expect(lines()[0]).toMatchObject({ event: 'x', loop: { name: 'loop' } });
  });

  it('names its errors as usage', () => {
    let thrown: unknown;
    try {
      collecting().log.setLevel('');
    } catch (error) {
      thrown = error;
    }
    expect(isAgentError(thrown, 'E_USAGE')).toBe(true);
  });
});
