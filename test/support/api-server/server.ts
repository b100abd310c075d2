/**
 * An API server for tests, as faithful as the sources need: TLS, bearer tokens and client certificates, discovery, lists in pages that are
 * consistent at one revision, watches with bookmarks and 410 after compaction, resource versions checked on writes, the status
 * subresource, CustomResourceDefinitions that come and go. `fault` makes it misbehave. test/contract/api-server.test.ts holds it to
 * Kubernetes' own client library.
 */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import type { Authority, KeyPair } from './certificates.js';
import { apiVersionOf, BUILT_IN, definitionsOf, storageName, type Definition } from './definitions.js';
import { selectorOf } from './selectors.js';
import { Storage, type StorageEvent, type StoredObject } from './storage.js';

export interface SeenRequest {
  /** As RBAC calls it: get, list, watch, create, update, patch, delete; '' for what is no resource. */
  readonly verb: string;
  readonly group: string;
  /** `pods`, `ruletables/status`. */
  readonly resource: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly user: string;
}

/** What goes wrong with a request; undefined: nothing. */
export type Fault =
  | { readonly status: number; readonly retryAfter?: number }
  /** The connection ends without an answer. */
  | { readonly destroy: true }
  /** No answer for so long. */
  | { readonly delayMs: number }
  /** A watch that begins well, and on which nothing comes. */
  | { readonly silent: true }
  /** A watch ends after so long, cleanly or (`cut`) not. */
  | { readonly closeAfterMs: number; readonly cut?: boolean }
  /** A watch that begins with a line that is no JSON. */
  | { readonly garbage: true }
  /** The body ends in its middle. */
  | { readonly truncate: true };

export interface ApiServerOptions {
  readonly authority: Pick<Authority, 'cert'>;
  readonly certificate: KeyPair;
  /** Default 0: any. */
  readonly port?: number;
  /** A Unix socket to listen on instead; `port` is then what clients are told. */
  readonly path?: string;
  /** Between bookmarks of a watch. Default 500. */
  readonly bookmarkMs?: number;
  /** Pages of lists are kept, packed, for whoever asks again: benchmarks do not measure this server. */
  readonly keepPages?: boolean;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly stop: () => void;
}

interface Target { readonly definition: Definition; readonly namespace: string | undefined; readonly name: string | undefined; readonly subresource: string | undefined }

export class ApiServer {
  readonly storage = new Storage();
  readonly requests: SeenRequest[] = [];
  /** Token → user. */
  readonly tokens = new Map<string, string>();
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  authorize: (request: SeenRequest) => boolean = () => true;
  /** Added to the `date` header, ms. */
  clockOffsetMs = 0;
  private custom: Definition[] = [];
  private server: Server | undefined;
  private readonly pages = new Map<string, Buffer>();
  private readonly sockets = new Set<Duplex>();
  private readonly watchers = new Set<Watcher>();
  private port: number;

  constructor(private readonly options: ApiServerOptions) {
    this.port = options.port ?? 0;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Watches that are open now. */
  get openWatches(): number {
    return this.watchers.size;
  }

  /** Listens; the same port again after stop(). `certificate`: instead of that of the options. */
  async start(certificate = this.options.certificate): Promise<void> {
    const { authority } = this.options;
    const server = createServer({ ...certificate, ca: authority.cert, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      this.serve(request, response).catch((error: unknown) => {
        if (!response.headersSent) this.status(response, 500, 'InternalError', String(error));
        else response.destroy();
      });
    });
    server.on('secureConnection', (socket) => this.track(socket));
    server.on('connection', (socket) => this.track(socket));
    server.on('tlsClientError', () => undefined);
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      if (this.options.path === undefined) server.listen(this.port, '127.0.0.1', resolve);
      else server.listen(this.options.path, resolve);
    });
    if (this.options.path === undefined) this.port = (server.address() as AddressInfo).port;
  }

  /** Ends all connections; what is stored stays. */
  async stop(): Promise<void> {
    for (const watcher of this.watchers) watcher.stop();
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    if (server !== undefined) await new Promise<void>((resolve) => { server.close(() => resolve()); });
  }

  /** Creates or replaces an object, as somebody else would. A CustomResourceDefinition takes effect. */
  put(manifest: { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string; readonly namespace?: string } }): StoredObject {
    const definition = this.definitions().find((each) => apiVersionOf(each) === manifest.apiVersion && each.kind === manifest.kind);
    if (definition === undefined) throw new Error(`the API server has no ${manifest.apiVersion} ${manifest.kind}`);
    return this.store(definition, manifest);
  }

  remove(apiVersion: string, kind: string, name: string, namespace?: string): void {
    const definition = this.definitions().find((each) => apiVersionOf(each) === apiVersion && each.kind === kind);
    if (definition === undefined) throw new Error(`the API server has no ${apiVersion} ${kind}`);
    this.unstore(definition, keyOf(namespace, name));
  }

  get(apiVersion: string, kind: string, name: string, namespace?: string): StoredObject | undefined {
    const definition = this.definitions().find((each) => apiVersionOf(each) === apiVersion && each.kind === kind);
    return definition === undefined ? undefined : this.storage.get(storageName(definition), keyOf(namespace, name));
  }

  /** What an earlier run recorded, oldest first; before start(). */
  recover(events: readonly Parameters<Storage['replay']>[0][]): void {
    for (const event of events) this.storage.replay(event);
    for (const definition of BUILT_IN) {
      if (definition.kind !== 'CustomResourceDefinition') continue;
      for (const [, text] of this.storage.at(storageName(definition), this.storage.revision, '')) this.define(JSON.parse(text) as StoredObject);
    }
  }

  /** Ends every watch, cleanly or not. */
  closeWatches(cut = false): void {
    for (const { response, stop } of this.watchers) {
      if (cut) response.destroy();
      stop();
    }
  }

  private definitions(): readonly Definition[] {
    return [...BUILT_IN, ...this.custom];
  }

  private store(definition: Definition, object: StoredObject): StoredObject {
    const namespaced = definition.namespaced ? { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? 'default' } } : object;
    const stored = this.storage.put(storageName(definition), keyOf(namespaced.metadata.namespace, object.metadata.name), namespaced);
    if (definition.kind === 'CustomResourceDefinition') this.define(stored);
    return stored;
  }

  private unstore(definition: Definition, key: string): StoredObject | undefined {
    const removed = this.storage.delete(storageName(definition), key);
    if (definition.kind === 'CustomResourceDefinition' && removed !== undefined) {
      for (const gone of definitionsOf(removed)) {
        for (const [name] of Array.from(this.storage.at(storageName(gone), this.storage.revision, ''))) this.storage.delete(storageName(gone), name);
      }
      this.custom = this.custom.filter((each) => `${each.plural}.${each.group}` !== removed.metadata.name);
    }
    return removed;
  }

  private define(crd: StoredObject): void {
    this.custom = [...this.custom.filter((each) => `${each.plural}.${each.group}` !== crd.metadata.name), ...definitionsOf(crd)];
  }

  private track(socket: Duplex): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => undefined);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://server');
    response.setHeader('date', new Date(Date.now() + this.clockOffsetMs).toUTCString());
    response.sendDate = false;
    const user = this.userOf(request);
    const target = this.targetOf(url.pathname);
    const seen: SeenRequest = {
      verb: target === undefined ? '' : verbOf(request.method ?? 'GET', target, url.searchParams), group: target?.definition.group ?? '',
      resource: target === undefined ? '' : [target.definition.plural, ...(target.subresource === undefined ? [] : [target.subresource])].join('/'),
      path: url.pathname, query: url.searchParams, user: user ?? '',
    };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault !== undefined && 'destroy' in fault) return void request.socket.destroy();
    if (fault !== undefined && 'delayMs' in fault) await new Promise((resolve) => { setTimeout(resolve, fault.delayMs).unref(); });
    if (fault !== undefined && 'status' in fault) {
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', String(fault.retryAfter));
      return this.status(response, fault.status, 'InternalError', 'made up by the test');
    }
    if (user === undefined) return this.status(response, 401, 'Unauthorized', 'Unauthorized');
    if (target === undefined) return this.discovery(url.pathname, response);
    if (!this.authorize(seen)) {
      const { definition: { plural, group } } = target;
      return this.status(response, 403, 'Forbidden', `${plural}${group === '' ? '' : `.${group}`} is forbidden: User "${user}" cannot ${seen.verb} resource "${plural}"`);
    }
    if (seen.verb === 'watch') return this.watch(target, url.searchParams, response, fault);
    if (seen.verb === 'list') return this.list(target, url.searchParams, request, response, fault);
    if (seen.verb === 'get') {
      const found = this.storage.get(storageName(target.definition), keyOf(target.namespace, target.name ?? ''));
      return found === undefined ? this.notFound(response, target) : this.send(response, 200, found);
    }
    return this.write(target, seen.verb, request, response);
  }

  private userOf(request: IncomingMessage): string | undefined {
    const { authorization } = request.headers;
    if (authorization?.startsWith('Bearer ') === true) return this.tokens.get(authorization.slice('Bearer '.length));
    const socket = request.socket as TLSSocket;
    const subject = socket.authorized ? socket.getPeerCertificate().subject : undefined;
    return typeof subject?.CN === 'string' ? subject.CN : undefined;
  }

  private targetOf(path: string): Target | undefined {
    const match = /^\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))\/(?:namespaces\/([^/]+)\/([^/]+)|([^/]+))(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
    if (match === null) return undefined;
    const [, core, group = '', version = core, namespace, namespacedPlural, plural, name, subresource] = match.map((part) => (part === undefined ? undefined : decodeURIComponent(part)));
    // /api/v1/namespaces/x and /api/v1/namespaces/x/status are of the namespace itself.
    const find = (wanted: string | undefined): Definition | undefined => this.definitions().find((each) => each.group === group && each.version === version && each.plural === wanted);
    if (namespace !== undefined && find(namespacedPlural)?.namespaced !== true) {
      const definition = core === undefined ? undefined : find('namespaces');
      return definition === undefined ? undefined : { definition, namespace: undefined, name: namespace, subresource: namespacedPlural };
    }
    const definition = find(namespacedPlural ?? plural);
    return definition === undefined ? undefined : { definition, namespace, name, subresource };
  }

  private discovery(path: string, response: ServerResponse): void {
    const definitions = this.definitions();
    if (path === '/version') return this.send(response, 200, { major: '1', minor: '34', gitVersion: 'v1.34.0' });
    if (path === '/api') return this.send(response, 200, { kind: 'APIVersions', versions: ['v1'] });
    if (path === '/apis') {
      const groups = [...new Set(definitions.map(({ group }) => group))].filter((group) => group !== '');
      return this.send(response, 200, {
        kind: 'APIGroupList', apiVersion: 'v1',
        groups: groups.map((name) => {
          const versions = [...new Set(definitions.filter(({ group }) => group === name).map(({ version }) => version))].map((version) => ({ groupVersion: `${name}/${version}`, version }));
          return { name, versions, preferredVersion: versions[0] };
        }),
      });
    }
    const apiVersion = /^\/api\/(v1)$/.exec(path)?.[1] ?? /^\/apis\/([^/]+\/[^/]+)$/.exec(path)?.[1];
    const own = definitions.filter((each) => apiVersionOf(each) === apiVersion);
    if (apiVersion === undefined || own.length === 0) return this.status(response, 404, 'NotFound', 'the server could not find the requested resource');
    this.send(response, 200, {
      kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersion,
      resources: own.flatMap(({ plural: name, kind, namespaced, status }) => [
        { name, singularName: kind.toLowerCase(), namespaced, kind, verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] },
        ...(status ? [{ name: `${name}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] }] : []),
      ]),
    });
  }

  private list(target: Target, query: URLSearchParams, request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    const { storage } = this;
    const { definition, namespace } = target;
    const limit = Number(query.get('limit') ?? 0);
    let revision = storage.revision;
    let after = '';
    const token = query.get('continue') ?? '';
    if (token !== '') {
      const parsed = JSON.parse(Buffer.from(token, 'base64url').toString()) as { rv: number; start: string };
      if (parsed.rv < storage.compacted || parsed.rv > storage.revision) return this.status(response, 410, 'Expired', 'The provided continue parameter is too old to display a consistent list result.');
      revision = parsed.rv;
      after = parsed.start;
    }
    const asked = query.get('resourceVersion') ?? '';
    if (asked !== '' && asked !== '0' && Number(asked) > revision) return this.status(response, 504, 'Timeout', `Too large resource version: ${asked}, current: ${revision}`);
    const page = `${storageName(definition)} ${namespace ?? ''} ${query.toString()} ${storage.revision}`;
    const kept = this.pages.get(page);
    if (kept !== undefined) return void response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(kept);
    const matches = selectorOf(query, namespace);
    const selects = query.has('fieldSelector') || query.has('labelSelector') || namespace !== undefined;
    const items: string[] = [];
    let last = '';
    let more = false;
    for (const [key, text] of storage.at(storageName(definition), revision, after)) {
      if (limit > 0 && items.length >= limit) {
        more = true;
        break;
      }
      if (!selects || matches(JSON.parse(text) as StoredObject)) items.push(stripType(text));
      last = key;
    }
    const next = more ? Buffer.from(JSON.stringify({ rv: revision, start: last })).toString('base64url') : undefined;
    const head = JSON.stringify({ kind: `${definition.kind}List`, apiVersion: apiVersionOf(definition), metadata: { resourceVersion: String(revision), ...(next === undefined ? {} : { continue: next, remainingItemCount: 1 }) } });
    // In pieces: a list of everything may be longer than a string can be.
    const pieces = [Buffer.from(`${head.slice(0, -1)},"items":[`)];
    for (let at = 0; at < items.length; at += 1_000) pieces.push(Buffer.from(`${at === 0 ? '' : ','}${items.slice(at, at + 1_000).join(',')}`));
    const body = Buffer.concat([...pieces, Buffer.from(']}\n')]);
    if (fault !== undefined && 'truncate' in fault) {
      response.writeHead(200, { 'content-type': 'application/json' }).write(body.subarray(0, body.length / 2));
      setTimeout(() => response.destroy(), 5).unref();
      return;
    }
    const gzip = /gzip/.test(String(request.headers['accept-encoding'] ?? '')) && body.length > 128 * 1024;
    const sent = gzip ? gzipSync(body, { level: 1 }) : body;
    if (gzip && this.options.keepPages === true) this.pages.set(page, sent);
    response.writeHead(200, { 'content-type': 'application/json', ...(gzip ? { 'content-encoding': 'gzip' } : {}) }).end(sent);
  }

  private watch(target: Target, query: URLSearchParams, response: ServerResponse, fault: Fault | undefined): void {
    const { storage } = this;
    const { definition, namespace } = target;
    const resource = storageName(definition);
    const matches = selectorOf(query, namespace);
    const asked = query.get('resourceVersion') ?? '';
    const from = asked === '' || asked === '0' ? undefined : Number(asked);
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
    response.flushHeaders();
    if (fault !== undefined && 'garbage' in fault) response.write('{"type":"ADDED","object":<html>\n');
    const write = (type: string, text: string): void => {
      if (fault !== undefined && 'silent' in fault) return;
      if (!response.writableEnded && !response.destroyed) response.write(`{"type":"${type}","object":${text}}\n`);
    };
    const past = from === undefined ? [] : storage.eventsAfter(resource, from);
    if (past === undefined) {
      write('ERROR', JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: `too old resource version: ${asked} (${storage.compacted})`, reason: 'Expired', code: 410 }));
      response.end();
      return;
    }
    const tell = (event: StorageEvent): void => {
      // The watch cache leaves out what is not newer than what was asked for: a watch from the future is silent.
      if (event.resource !== resource || (from !== undefined && event.revision <= from)) return;
      const was = event.before !== undefined && matches(event.before);
      const is = !event.deleted && matches(event.object);
      if (is) write(was ? 'MODIFIED' : 'ADDED', event.text);
      else if (was) write('DELETED', event.text);
    };
    if (from === undefined) for (const [, text] of storage.at(resource, storage.revision, '')) if (matches(JSON.parse(text) as StoredObject)) write('ADDED', text);
    for (const event of past) tell(event);
    const unsubscribe = storage.onEvent(tell);
    const timers: NodeJS.Timeout[] = [];
    const watcher: Watcher = {
      response,
      stop: () => {
        this.watchers.delete(watcher);
        unsubscribe();
        for (const timer of timers) clearTimeout(timer);
        if (!response.destroyed) response.end();
      },
    };
    this.watchers.add(watcher);
    response.on('close', watcher.stop);
    if (query.get('allowWatchBookmarks') === 'true' || query.get('allowWatchBookmarks') === '1') {
      timers.push(setInterval(() => {
        write('BOOKMARK', JSON.stringify({ kind: definition.kind, apiVersion: apiVersionOf(definition), metadata: { resourceVersion: String(Math.max(storage.revision, from ?? 0)), creationTimestamp: null } }));
      }, this.options.bookmarkMs ?? 500).unref());
    }
    const seconds = Number(query.get('timeoutSeconds') ?? 1800);
    timers.push(setTimeout(watcher.stop, seconds * 1000).unref());
    if (fault !== undefined && 'closeAfterMs' in fault) {
      timers.push(setTimeout(() => {
        if (fault.cut === true) response.destroy();
        watcher.stop();
      }, fault.closeAfterMs).unref());
    }
  }

  private async write(target: Target, verb: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { definition, subresource } = target;
    const resource = storageName(definition);
    const body = await bodyOf(request);
    const name = target.name ?? (body as StoredObject).metadata.name;
    const key = keyOf(definition.namespaced ? (target.namespace ?? 'default') : undefined, name);
    const before = this.storage.get(resource, key);
    if (verb === 'create') {
      if (before !== undefined) return this.status(response, 409, 'AlreadyExists', `${definition.plural} "${name}" already exists`);
      const given = body as StoredObject;
      const { status: _, ...rest } = given;
      const created = this.store(definition, { ...(definition.status && definition.kind !== 'Event' ? rest : given), metadata: { ...given.metadata, ...(target.namespace === undefined ? {} : { namespace: target.namespace }) } });
      return this.send(response, 201, created);
    }
    if (before === undefined) return this.notFound(response, target);
    if (verb === 'delete') {
      const wanted = (body as { preconditions?: { resourceVersion?: string; uid?: string } }).preconditions;
      const is = (field: 'resourceVersion' | 'uid'): boolean => wanted?.[field] === undefined || wanted[field] === before.metadata[field];
      if (!is('resourceVersion') || !is('uid')) return this.status(response, 409, 'Conflict', `Precondition failed: ${JSON.stringify(wanted)}`);
      return this.send(response, 200, this.unstore(definition, key));
    }
    const merged = (verb === 'patch' ? merge(before, body) : body) as StoredObject;
    const asked = merged.metadata['resourceVersion'];
    if (asked !== undefined && asked !== before.metadata['resourceVersion']) return this.status(response, 409, 'Conflict', 'the object has been modified; please apply your changes to the latest version and try again');
    // The status subresource writes status alone, and everything else leaves it as it is.
    const next: StoredObject = subresource === 'status' ? { ...before, status: merged['status'] }
      : { ...merged, metadata: { ...merged.metadata, name, ...(before.metadata.namespace === undefined ? {} : { namespace: before.metadata.namespace }) }, ...(definition.status && definition.kind !== 'Event' ? { status: before['status'] } : {}) };
    if (JSON.stringify({ ...next, metadata: { ...next.metadata, resourceVersion: '' } }) === JSON.stringify({ ...before, metadata: { ...before.metadata, resourceVersion: '' } })) return this.send(response, 200, before);
    return this.send(response, 200, this.store(definition, next));
  }

  private notFound(response: ServerResponse, { definition: { plural }, name }: Target): void {
    this.status(response, 404, 'NotFound', `${plural} "${name ?? ''}" not found`);
  }

  private status(response: ServerResponse, code: number, reason: string, message: string): void {
    this.send(response, code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code });
  }

  private send(response: ServerResponse, code: number, value: unknown): void {
    response.writeHead(code, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function verbOf(method: string, { name }: Target, query: URLSearchParams): string {
  if (method === 'GET') return ['1', 'true'].includes(query.get('watch') ?? '') ? 'watch' : name === undefined ? 'list' : 'get';
  return { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? '';
}

/** Items of lists come without apiVersion and kind, as built-in ones do. */
function stripType(text: string): string {
  const match = /^\{"apiVersion":"[^"]*","kind":"[^"]*",/.exec(text);
  return match === null ? text : `{${text.slice(match[0].length)}`;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? {} : (JSON.parse(text) as unknown);
}

/** RFC 7386. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...(target as Record<string, unknown>) } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merge(result[name], value);
  }
  return result;
}
