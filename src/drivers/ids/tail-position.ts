import { readFile, rename, writeFile } from 'node:fs/promises';

/** Place up to which a file was read; device and inode tell whether it is still the same file. */
export interface TailPosition {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
  readonly offset: number;
}

/** Where the tail keeps its place between two lives of the agent. */
export interface PositionStore {
  /** undefined when there is none or it cannot be understood. */
  load(): Promise<TailPosition | undefined>;
  save(position: TailPosition): Promise<void>;
}

/** One small JSON file, replaced whole. */
export class FilePositionStore implements PositionStore {
  constructor(private readonly path: string) {}

  async load(): Promise<TailPosition | undefined> {
    let content: string;
    try {
      content = await readFile(this.path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    return parsePosition(content);
  }

  async save(position: TailPosition): Promise<void> {
    const next = `${this.path}.new`;
    await writeFile(next, `${JSON.stringify(position)}\n`, { mode: 0o640 });
    await rename(next, this.path);
  }
}

export function parsePosition(content: string): TailPosition | undefined {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    // A damaged file is no position: the tail then starts at the end, as on its first run.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const number = (key: string): number | undefined => {
    const field: unknown = Reflect.get(value, key);
    return typeof field === 'number' && Number.isSafeInteger(field) && field >= 0 ? field : undefined;
  };
  const path: unknown = Reflect.get(value, 'path');
  const device = number('device');
  const inode = number('inode');
  const offset = number('offset');
  if (typeof path !== 'string' || device === undefined || inode === undefined || offset === undefined) return undefined;
  return { path, device, inode, offset };
}
