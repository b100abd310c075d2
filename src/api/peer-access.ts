/**
 * Who may use the API socket: root, and members of one group. The kernel already asks for write permission on the socket
 * file; this looks at the peer itself (SO_PEERCRED, unix(7)), so that a loosened file mode opens nothing.
 */
import { readFileSync } from 'node:fs';

/** SO_PEERCRED of a connected socket, unix(7): who the peer was when it connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface AccountFiles {
  /** group(5), passwd(5). */
  readonly group: string;
  readonly passwd: string;
  /** Root of procfs. */
  readonly proc: string;
}
export const SYSTEM_ACCOUNTS: AccountFiles = { group: '/etc/group', passwd: '/etc/passwd', proc: '/proc' };

/** The number of a group, or undefined when this host has no such group. Throws when the file cannot be read. */
export function groupId(name: string, files: AccountFiles = SYSTEM_ACCOUNTS): number | undefined {
  return groupEntry(name, files)?.id;
}

/**
 * The access rule of a socket that belongs to `group`: uid 0, the group's own gid, accounts listed in it, and processes that
 * hold it as supplementary group (accounts from LDAP and the like). Without a group only root. The files are read at each
 * question, so that membership changes count at once; an unreadable file admits nobody but root.
 */
export function peerAccess(group: string | undefined, files: AccountFiles = SYSTEM_ACCOUNTS): (peer: PeerCredentials) => boolean {
  return (peer) => {
    if (peer.uid === 0) return true;
    if (group === undefined) return false;
    try {
      const entry = groupEntry(group, files);
      if (entry === undefined) return false;
      if (peer.gid === entry.id) return true;
      const account = accountName(peer.uid, files);
      if (account !== undefined && entry.members.includes(account)) return true;
      return holdsGroup(peer, entry.id, files);
    } catch {
      return false;
    }
  };
}

interface GroupEntry { id: number; members: string[] }

function groupEntry(name: string, files: AccountFiles): GroupEntry | undefined {
  for (const line of readFileSync(files.group, 'utf8').split('\n')) {
    const [entry, , id, members] = line.split(':');
    if (entry === name && id !== undefined && /^\d+$/u.test(id)) {
      return { id: Number(id), members: (members ?? '').split(',').filter((member) => member !== '') };
    }
  }
  return undefined;
}

function accountName(uid: number, files: AccountFiles): string | undefined {
  for (const line of readFileSync(files.passwd, 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (id === String(uid)) return name;
  }
  return undefined;
}

/**
 * proc(5) status "Groups:" is set at login by root and not by set-group-id programs. The pid may have been taken over by
 * another process since the connect; hence the real uid must be the peer's.
 */
function holdsGroup(peer: PeerCredentials, gid: number, files: AccountFiles): boolean {
  const status = readFileSync(`${files.proc}/${peer.pid}/status`, 'utf8');
  const field = (name: string): string[] => new RegExp(`^${name}:\\s*(.*)$`, 'mu').exec(status)?.[1]?.trim().split(/\s+/u) ?? [];
  return field('Uid')[0] === String(peer.uid) && field('Groups').includes(String(gid));
}
