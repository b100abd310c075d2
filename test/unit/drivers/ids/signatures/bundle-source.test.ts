import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BundleSource, type BundleSourceOptions, type Fetched, type FetchState } from '../../../../../src/drivers/ids/signatures/bundle-source.js';
import { shownUrl } from '../../../../../src/drivers/ids/signatures/http-get.js';
import { isAgentError } from '../../../../../src/model/errors.js';
import { certificate } from '../../../../support/certificate.js';
import { Cleanup } from '../../../../support/cleanup.js';

const CONTENT = Buffer.from('what a bundle would be '.repeat(1_000));
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

let root = '';
let cleanup: Cleanup;
beforeEach(async () => {
  cleanup = new Cleanup();
  root = await mkdtemp(join(tmpdir(), 'dfw-source-'));
  cleanup.defer('directory', () => rm(root, { recursive: true, force: true }));
});
afterEach(() => cleanup.run());

async function listening(server: Server): Promise<number> {
  cleanup.defer('server', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
const serve = async (listener: RequestListener): Promise<string> => `http://127.0.0.1:${await listening(createServer(listener))}`;

let fetches = 0;
/** Fetches to a new file; its content must be the bundle's. */
async function fetch(options: Partial<BundleSourceOptions> & { readonly bundle: string }, state: FetchState = {}, signal = new AbortController().signal): Promise<Fetched> {
  fetches += 1;
  const target = join(root, `target-${fetches}`);
  const fetched = await new BundleSource({ checksum: '', ca: '', largest: 1 << 20, stallMs: 500, timeoutMs: 2_000, ...options }).fetch(target, state, signal);
  if (fetched.kind === 'fetched') expect((await readFile(target)).equals(CONTENT)).toBe(true);
  return fetched;
}
async function refusal(...args: Parameters<typeof fetch>): Promise<string> {
  const failure: unknown = await fetch(...args).then(() => 'fetched', (error: unknown) => error);
  if (!isAgentError(failure)) throw new Error(`no AgentError: ${String(failure)}`);
  return `${failure.code}${failure.retryable ? ' again' : ''} ${failure.object ?? ''}: ${failure.message}`;
}

describe('a file', () => {
  test('is copied, with its sha256; as the state tells of it, it is unchanged', async () => {
    const bundle = join(root, 'b.zip');
    await writeFile(bundle, CONTENT);
    expect(await fetch({ bundle })).toEqual({ kind: 'fetched', sha256: SHA256, validators: {} });
    expect(await fetch({ bundle }, { sha256: SHA256 })).toEqual({ kind: 'unchanged' });
    expect(await refusal({ bundle: join(root, 'none') })).toMatch(/^E_IO again .*none: .*ENOENT/);
    expect(await refusal({ bundle: root })).toMatch(/^E_IO again .*: is no file/);
    expect(await refusal({ bundle, largest: 1_000 })).toMatch(/^E_LIMIT .*larger than 1000 bytes/);
    expect(await refusal({ bundle }, {}, AbortSignal.abort())).toMatch(/^E_CANCELLED/);
  });

  test.each([
    ['digits', SHA256.toUpperCase()], ['sha256sum', `${SHA256}  b.zip\n`], ['sha256sum -b', `${SHA256} *b.zip\n`], ['its --tag', `SHA256 (b.zip) = ${SHA256}\n`], ['bare', SHA256], ['after a line of text', `# made today\n${SHA256}  b.zip\n`],
  ])('is checked against a checksum as %s', async (form, text) => {
    const bundle = join(root, 'b.zip');
    await writeFile(bundle, CONTENT);
    await writeFile(`${bundle}.sha256`, text);
    const checksum = form === 'digits' ? text : `${bundle}.sha256`;
    expect(await fetch({ bundle, checksum })).toMatchObject({ kind: 'fetched' });
    expect(await fetch({ bundle: '/nowhere/at/all', checksum }, { sha256: SHA256 })).toEqual({ kind: 'unchanged' });
    await writeFile(bundle, 'something else');
    expect(await refusal({ bundle, checksum })).toMatch(new RegExp(`^E_INVALID again .*sha256 is [0-9a-f]{64}, not ${SHA256}`));
  });

  test('with a checksum file that is none is refused', async () => {
    await writeFile(join(root, 'sum'), 'hello\n');
    expect(await refusal({ bundle: '/b.zip', checksum: join(root, 'sum') })).toMatch(/^E_INVALID again .*sum: holds no sha256/);
    expect(await refusal({ bundle: '/b.zip', checksum: join(root, 'none') })).toMatch(/^E_IO again .*none: the checksum cannot be read/);
  });
});

describe('a server', () => {
  test('is asked with what it said the last time', async () => {
    const asked: IncomingMessage['headers'][] = [];
    const url = await serve((request, response) => {
      asked.push(request.headers);
      if (request.headers['if-none-match'] === '"one"') response.writeHead(304).end();
      else response.writeHead(200, { etag: '"one"', 'last-modified': 'Sat, 21 Nov 2026 00:00:00 GMT' }).end(CONTENT);
    });
    const validators = { etag: '"one"', lastModified: 'Sat, 21 Nov 2026 00:00:00 GMT' };
    expect(await fetch({ bundle: `${url}/b.tar.gz` })).toEqual({ kind: 'fetched', sha256: SHA256, validators });
    expect(await fetch({ bundle: `${url}/b.tar.gz` }, validators)).toEqual({ kind: 'unchanged' });
    expect(asked[1]).toMatchObject({ 'if-none-match': '"one"', 'if-modified-since': validators.lastModified });
  });

  test('whose checksum file names what is there already is asked no more', async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.end(request.url === '/b.sha256' ? `${SHA256}  b\n` : CONTENT);
    });
    expect(await fetch({ bundle: `${url}/b`, checksum: `${url}/b.sha256` })).toMatchObject({ sha256: SHA256 });
    expect(await fetch({ bundle: `${url}/b`, checksum: `${url}/b.sha256` }, { sha256: SHA256 })).toEqual({ kind: 'unchanged' });
    expect(asked).toEqual(['/b.sha256', '/b', '/b.sha256']);
  });

  test('may redirect five times, with the password for itself only', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.end(CONTENT);
    });
    const url = await serve((request, response) => {
      const left = Number(/\d+/.exec(request.url ?? '')?.[0]);
      seen.push(request.headers.authorization);
      response.writeHead(302, { location: left === 0 ? `${other}/b` : `/${left - 1}` }).end();
    });
    expect(await fetch({ bundle: `${url.replace('//', '//user:p%40ss@')}/4?key=1` })).toMatchObject({ sha256: SHA256 });
    const basic = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(seen).toEqual([basic, basic, basic, basic, basic, undefined]);
    expect(await refusal({ bundle: `${url.replace('//', '//user:p%40ss@')}/5?key=1` })).toBe(`E_UNREACHABLE again ${other}/b: the server: redirects more than 5 times`);
  });

  test.each([
    ['an error', (response: ServerResponse) => response.writeHead(503).end('no'), /E_UNREACHABLE again .*answered 503/],
    ['nonsense for a redirect', (response: ServerResponse) => response.writeHead(301, { location: 'file:///etc/passwd' }).end(), /E_UNREACHABLE again .*redirects from http: to file:/],
    ['a redirect to nowhere', (response: ServerResponse) => response.writeHead(302).end(), /E_UNREACHABLE again .*answered 302/],
    ['silence', () => undefined, /E_UNREACHABLE again .*/],
    ['half of it', (response: ServerResponse) => response.writeHead(200, { 'content-length': String(CONTENT.length) }).end(CONTENT.subarray(0, 10), () => response.socket?.destroy()), /E_IO again .*/],
    ['half of it, then silence', (response: ServerResponse) => response.writeHead(200, { 'content-length': String(CONTENT.length) }).write(CONTENT.subarray(0, 10)), /E_IO again .*/],
    ['too much', (response: ServerResponse) => response.end(Buffer.alloc(2 << 20)), /E_LIMIT .*larger than/],
  ])('that gives %s is named', async (_what, answer, expected) => {
    const url = await serve((_request, response) => void answer(response));
    expect(await refusal({ bundle: `${url}/b` })).toMatch(expected);
  });

  test('that drips for ever is left when the time is over', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('.'), 50);
      response.on('close', () => clearInterval(timer));
    });
    const began = performance.now();
    expect(await refusal({ bundle: `${url}/b`, timeoutMs: 400 })).toMatch(/^E_IO again/);
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test('that is not there, and an abort in the middle', async () => {
    const url = await serve((_request, response) => void response.writeHead(200).write('.'));
    expect(await refusal({ bundle: 'http://127.0.0.1:1/b' })).toMatch(/E_UNREACHABLE again http:\/\/127\.0\.0\.1:1\/b: .*ECONNREFUSED/);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    expect(await refusal({ bundle: `${url}/b` }, {}, abort.signal)).toMatch(/^E_CANCELLED/);
  });
});

describe('TLS', () => {
  const tls = async (listener: RequestListener): Promise<{ url: string; ca: string }> => {
    const { key, cert } = await certificate();
    await writeFile(join(root, 'ca.pem'), cert);
    return { url: `https://127.0.0.1:${await listening(createTlsServer({ key, cert }, listener))}`, ca: join(root, 'ca.pem') };
  };

  test('a certificate counts only by an authority that is known; never on to http', async () => {
    const plain = await serve((_request, response) => void response.end(CONTENT));
    const { url, ca } = await tls((request, response) => {
      if (request.url === '/down') response.writeHead(302, { location: `${plain}/b` }).end();
      else response.end(CONTENT);
    });
    expect(await fetch({ bundle: `${url}/b`, ca })).toMatchObject({ sha256: SHA256 });
    expect(await refusal({ bundle: `${url}/b` })).toMatch(/^E_UNREACHABLE again .*self-signed certificate/);
    expect(await refusal({ bundle: `${url}/down`, ca })).toMatch(/redirects from https: to http:/);
    expect(await refusal({ bundle: `${url}/b`, ca: join(root, 'none.pem') })).toMatch(/^E_IO again .*none\.pem: the certificate authorities cannot be read/);
  });

  test('goes by the proxy of the environment', async () => {
    const { url, ca } = await tls((_request, response) => void response.end(CONTENT));
    const asked: string[] = [];
    const proxy = createServer();
    proxy.on('connect', (request, socket) => {
      asked.push(request.url ?? '');
      const [host = '', port = ''] = (request.url ?? '').split(':');
      const onward = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(onward).pipe(socket);
      });
      for (const end of [socket, onward]) end.on('error', () => onward.destroy());
      cleanup.defer('tunnel', () => {
        onward.destroy();
        socket.destroy();
        return Promise.resolve();
      });
    });
    const port = await listening(proxy);
    const before = { proxy: process.env['https_proxy'], not: process.env['no_proxy'] };
    cleanup.defer('environment', () => {
      for (const [name, value] of [['https_proxy', before.proxy], ['no_proxy', before.not]] as const) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      return Promise.resolve();
    });
    process.env['https_proxy'] = `http://127.0.0.1:${port}`;
    process.env['no_proxy'] = '';
    expect(await fetch({ bundle: `${url}/b`, ca })).toMatchObject({ sha256: SHA256 });
    expect(asked).toEqual([new URL(url).host]);
    process.env['no_proxy'] = '127.0.0.1';
    expect(await fetch({ bundle: `${url}/b`, ca })).toMatchObject({ sha256: SHA256 });
    expect(asked).toHaveLength(1);
  });
});

test('a URL is shown without what may be secret', () => {
  expect(shownUrl('https://user:secret@rules.example:8443/a/b.tar.gz?key=secret#x')).toBe('https://rules.example:8443/a/b.tar.gz');
});
