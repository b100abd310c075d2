/** What went wrong with a request, as an AgentError with words for people. Pure. */
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import { quote } from '../../model/quote.js';

export interface AskedFor { readonly path: string; readonly method: string; readonly retryAfter?: string }

/**
 * An answer that is no 2xx; `context.status` is its code. 401 and 403: E_DENIED; 404: E_NOT_FOUND; 409: E_CONFLICT; 410 (and what means it): E_HELD
 * with `context.gone`; others: E_IO, retryable.
 */
export function statusError(status: number, text: string, asked: AskedFor): AgentError {
  const { message, reason } = statusFields(text);
  const said = message === undefined ? '' : `: ${quote(message, 200)}`;
  const path = asked.path.split('?', 1)[0] ?? '';
  const context = { status, path, ...(reason === undefined ? {} : { reason }), ...(asked.retryAfter === undefined ? {} : { retryAfter: asked.retryAfter }) };
  const options = { object: path, retryable: true, context };
  if (status === 401) return new AgentError('E_DENIED', `the API server refuses the agent's credentials (401)${said}`, options);
  if (status === 403) return new AgentError('E_DENIED', `the API server does not permit ${asked.method} here (403)${said}`, options);
  if (status === 404) return new AgentError('E_NOT_FOUND', `the API server does not have this (404)${said}`, options);
  if (status === 409) return new AgentError('E_CONFLICT', `somebody else changed it (409)${said}`, options);
  if (status === 410) return gone(path, said);
  return new AgentError('E_IO', `the API server answers ${status}${said}`, options);
}

/** What a watch or a page began with is no longer kept by the server. */
export function gone(path: string, said = ''): AgentError {
  return new AgentError('E_HELD', `what was read before is too old for the API server (410)${said}`, { object: path, retryable: true, context: { status: 410, gone: true } });
}

export function isGone(error: unknown): boolean {
  return error instanceof AgentError && error.context['gone'] === true;
}

/** Codes of Node's TLS (doc/api/tls.md, "X509 certificate error codes") that a wrong clock, ours or theirs, can cause. */
const TIME_CODES: Readonly<Record<string, string>> = { CERT_HAS_EXPIRED: 'has expired', CERT_NOT_YET_VALID: 'is not valid yet' };

/** A request that got no answer. AgentErrors are passed on. `now`: this host's clock. */
export function requestFailure(error: unknown, server: string, now: number): AgentError {
  if (error instanceof AgentError) return error;
  const code = codeOf(error);
  const options = { object: server, retryable: true, cause: error, context: { code } };
  if (code === 'ABORT_ERR' || (error instanceof Error && error.name === 'AbortError')) return new AgentError('E_CANCELLED', 'the request was given up', options);
  const time = TIME_CODES[code];
  if (time !== undefined) {
    return new AgentError('E_UNREACHABLE', `the API server's certificate ${time}, or this host's clock (${new Date(now).toISOString()}) is wrong`, options);
  }
  if (code === 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED' || code === 'ERR_SSL_TLSV1_ALERT_CERTIFICATE_EXPIRED') {
    return new AgentError('E_UNREACHABLE', "the API server says that the agent's certificate has expired", options);
  }
  if (/^(?:UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|ERR_TLS|CERT_|ERR_SSL)/.test(code)) return new AgentError('E_UNREACHABLE', `the API server cannot be trusted (${code})`, options);
  if (code === 'UND_ERR_BODY_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT') return new AgentError('E_UNREACHABLE', 'the API server does not answer in time', options);
  return new AgentError('E_UNREACHABLE', `the API server cannot be reached (${code === '' ? describeError(error) : code})`, options);
}

function codeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0]);
    if ('code' in at && typeof at.code === 'string') return at.code;
  }
  return '';
}

/** The fields of a metav1.Status that are there. */
function statusFields(text: string): { readonly message?: string; readonly reason?: string } {
  try {
    const { message, reason } = fieldsOf(JSON.parse(text)) ?? {};
    return { ...(typeof message === 'string' ? { message } : {}), ...(typeof reason === 'string' ? { reason } : {}) };
  } catch {
    return {}; // a proxy's page
  }
}
