/** A way to a Unix socket that the test opens, shuts, and cuts connections of. */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class SocketDoor {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();

  /** Not open yet. */
  constructor(readonly path: string, private readonly target: string) {}

  async open(): Promise<void> {
    rmSync(this.path, { force: true });
    const server = createServer((inside) => {
      const outside = connect(this.target);
      for (const [socket, other] of [[inside, outside], [outside, inside]] as const) {
        this.sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.path, resolve);
    });
  }

  /** Ends what goes through; who comes again is let in. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Open again with open(). Not open: nothing to do. */
  async shut(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.cut();
    if (server !== undefined) await new Promise<void>((resolve) => { server.close(() => resolve()); });
  }
}
