/* oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-argument, typescript/no-unsafe-return -- plain JavaScript: nothing compiles what a test's child process runs */
// Arguments: addon, socket path. Prints what peerCredentials() says about this process, a foreign one, and about no Unix socket.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { dirname } from 'node:path';
import process from 'node:process';

const { peerCredentials } = createRequire(import.meta.url)(process.argv[2]);
const path = process.argv[3];
const server = net.createServer().listen(path);
await once(server, 'listening');
chmodSync(path, 0o777);
chownSync(dirname(path), 65_534, 65_534);

const accepted = async () => {
  const [socket] = await once(server, 'connection');
  return socket;
};
const codeOf = (action) => {
  try {
    action();
    return 'no error';
  } catch (error) {
    return error.code;
  }
};

const first = accepted();
const client = net.connect(path);
const ownSocket = await first;
const own = peerCredentials(ownSocket._handle.fd);

const second = accepted();
const connect = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nsys.stdin.read()";
const child = spawn('python3', ['-c', connect, path], { uid: 65_534, gid: 65_534, stdio: ['pipe', 'inherit', 'inherit'] });
const foreignSocket = await second;
const foreign = peerCredentials(foreignSocket._handle.fd);
child.stdin.end();

const tcpServer = net.createServer().listen(0, '127.0.0.1');
await once(tcpServer, 'listening');
const tcp = codeOf(() => peerCredentials(tcpServer._handle.fd));
const closed = codeOf(() => peerCredentials(9999));
process.stdout.write(JSON.stringify({ pid: process.pid, own, foreign, other: child.pid, closed, tcp }));
client.destroy();
ownSocket.destroy();
foreignSocket.destroy();
server.close();
tcpServer.close();
