/** Endpoints as users write them: http://HOST:PORT, https://HOST:PORT, unix:/PATH. */
export interface Endpoint {
  /** As written. */
  readonly text: string;
  /** As gRPC names it. */
  readonly target: string;
  readonly secure: boolean;
}

const DEFAULT_PORT = '2379';

/** undefined for what is none. */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (/^unix:\/[^\0]{1,106}$/.test(text)) return { text, target: text, secure: false };
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return undefined;
  if (hostname === '' || username !== '' || password !== '' || pathname.length > 1 || search !== '' || hash !== '') return undefined;
  // URL drops the port that is the scheme's own.
  const written = /:(\d+)\/?$/.exec(text)?.[1];
  return { text, target: `dns:${hostname}:${port === '' ? (written ?? DEFAULT_PORT) : port}`, secure: protocol === 'https:' };
}
