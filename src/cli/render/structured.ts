/** JSON and YAML of a whole answer. Keys keep the order of docs/agentctl.md; absent fields stay absent. */
import type { Output, OutputFormat } from '../output.js';

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Texts that YAML 1.1 readers (PyYAML) take for numbers or booleans are quoted, such as 10:20:30:40:50:59 and on. */
export async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' });
}

/** Prints `value` as asked; `text` is called only for the text form. */
export async function print(out: Output, format: OutputFormat, value: unknown, text: () => string): Promise<void> {
  switch (format) {
    case 'text':
      return out.write(text());
    case 'json':
      return out.write(jsonText(value));
    case 'yaml':
      return out.write(await yamlText(value));
  }
}

/** One element of an endless list: a JSON value a line, or a YAML document. */
export async function printElement(out: Output, format: OutputFormat, value: unknown, text: () => string): Promise<void> {
  switch (format) {
    case 'text':
      return out.write(text());
    case 'json':
      return out.write(`${JSON.stringify(value)}\n`);
    case 'yaml':
      return out.write(`---\n${await yamlText(value)}`);
  }
}
