/** Unix sockets that the agent listens on: where they lie, who may open it, and what becomes of one left over by a dead agent. */
import { chmod, chown, lstat, mkdir, mkdtemp, rename, rm, unlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { AgentError } from '../model/errors.js';

const PROBE_TIMEOUT_MS = 1_000;

/**
 * Lets `server` listen on `path` as owner:gid 0660 (0600 without a gid). The socket is made in a private directory and
 * renamed into place: it never exists with wider rights, and a stale one is replaced in one step. Rejects with E_CONFLICT
 * when something answers on `path` or a file that is no socket lies there, E_IO when the directory cannot be used.
 */
export async function listenOn(server: Server, path: string, gid: number | undefined): Promise<void> {
  try {
    const folder = dirname(path);
    // Made by us: open to the group's members whatever the umask is. Made by somebody else: left as it is.
    if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, 0o755);
    await refuseLiving(path);
    // Inside: what is around it may be read-only, or another file system.
    const staging = await mkdtemp(join(folder, '.s'));
    try {
      const staged = join(staging, 's');
      await listening(server, staged);
      await chmod(staged, gid === undefined ? 0o600 : 0o660);
      if (gid !== undefined) await chown(staged, -1, gid);
      await rename(staged, path);
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  } catch (cause) {
    server.close();
    if (cause instanceof AgentError) throw cause;
    throw new AgentError('E_IO', `cannot listen: ${cause instanceof Error ? cause.message : String(cause)}`, { object: path, cause });
  }
}

/** Removes the socket if it is still the one this process made (same inode); absent is fine. */
export async function removeSocket(path: string, inode: number | undefined): Promise<void> {
  const found = await stats(path);
  if (found !== undefined && found.ino === inode) await unlink(path);
}

/** The inode at `path`, or undefined when nothing is there. */
export async function inodeOf(path: string): Promise<number | undefined> {
  return (await stats(path))?.ino;
}

/** The descriptor of an accepted socket. Node keeps it on the stream handle, outside its typed interface. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

async function stats(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function refuseLiving(path: string): Promise<void> {
  const found = await stats(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new AgentError('E_CONFLICT', 'a file that is not a socket lies at the path of the socket; remove it', { object: path });
  if (await answers(path)) throw new AgentError('E_CONFLICT', 'another agent answers on the socket; stop it first', { object: path });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => settle(true)); // its queue is full: somebody owns it
    probe.once('connect', () => settle(true));
    probe.once('error', (error) => settle(codeOf(error) === 'EAGAIN'));
  });
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'code') : undefined;
}
