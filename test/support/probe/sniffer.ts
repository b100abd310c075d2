/** tcpdump at an interface of a namespace, which ends when it has read what there was to read. */
import { spawn } from 'node:child_process';
import { eventually } from '../command.js';

export interface Sniffer {
  /** The lines so far. */
  text(): string;
  /** True when it has read what its kernel socket got, and nothing came since the call before. Throws when it lost something. */
  quiet(): Promise<boolean>;
  /** Twice does nothing more. */
  end(): Promise<void>;
}

const STATISTICS = /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/g;

/** Resolves when it listens. `filter` as tcpdump has it. */
export async function sniff(netns: string, device: string, filter: string): Promise<Sniffer> {
  // Short snapshots: a buffer of 16 MiB has room for no more than 64 of the default size, and a busy machine loses the others.
  const child = spawn('ip', ['netns', 'exec', netns, 'tcpdump', '-n', '-q', '-l', '--immediate-mode', '-B', '16384', '-s', '256', '-i', device, filter], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, errors, last] = ['', '', -1];
  child.stdout.on('data', (data: Buffer) => void (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => void (errors += data.toString()));
  const ended = new Promise<void>((resolve) => void child.once('close', () => resolve()));
  const statistics = (): RegExpMatchArray[] => [...errors.matchAll(STATISTICS)];
  const end = async (): Promise<void> => {
    child.kill('SIGINT');
    await ended;
  };
  try {
    await eventually('a sniffer', async () => (errors.includes('listening on') ? true : undefined), 10_000, 10);
  } catch (error) {
    await end();
    throw error;
  }
  return {
    text: () => out,
    quiet: async () => {
      const known = statistics().length;
      child.kill('SIGUSR1');
      const [captured = 0, received = 0, dropped = 0] = (await eventually('statistics of a sniffer', async () => statistics()[known], 10_000, 10)).slice(1).map(Number);
      if (dropped > 0) throw new Error(`the sniffer at ${device} lost ${dropped} packets`);
      const same = captured === received && received === last;
      last = received;
      return same;
    },
    end,
  };
}

/** Runs `during` beside the sniffers, and ends them when all is quiet: busy machines deliver late. The sniffers are ended in any case. */
export async function sniffed(sniffers: readonly Sniffer[], during: () => Promise<unknown>): Promise<void> {
  try {
    await during();
    for (let rounds = 0; rounds < 90; rounds += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const states = await Promise.all(sniffers.map((sniffer) => sniffer.quiet()));
      if (states.every(Boolean)) return;
    }
  } finally {
    await Promise.all(sniffers.map((sniffer) => sniffer.end()));
  }
}
