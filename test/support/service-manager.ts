/** What a daemon tells its service manager (sd_notify(3)). */
import { spawn } from 'node:child_process';
import type { Cleanup } from './cleanup.js';
import { eventually } from './command.js';

const RECEIVE = 'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound")\nwhile True: print(s.recv(4096).decode().replace("\\n"," "))';

export class ServiceManager {
  private said = '';

  private constructor(private readonly path: string) {}

  /** Listens at a path that is free. */
  static async listen(path: string, cleanup: Cleanup): Promise<ServiceManager> {
    const manager = new ServiceManager(path);
    const receiver = spawn('/usr/bin/python3', ['-u', '-c', RECEIVE, path], { stdio: ['ignore', 'pipe', 'ignore'] });
    cleanup.defer('service manager', () => { receiver.kill('SIGKILL'); });
    receiver.stdout.on('data', (chunk: Buffer) => { manager.said += chunk.toString(); });
    await manager.hears('bound');
    return manager;
  }

  /** For the daemon. */
  get environment(): Readonly<Record<string, string>> {
    return { NOTIFY_SOCKET: this.path };
  }

  /** What was said until now, one line a message. */
  get heard(): string {
    return this.said;
  }

  async hears(text: string, timeoutMs = 15_000): Promise<void> {
    await eventually(`${text} to be said`, async () => (this.said.includes(text) ? true : undefined), timeoutMs, 20);
  }
}
