/** Colours of the text output (ECMA-48 SGR); plain where they are off. */
export interface Palette {
  good(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

const ESCAPE = '\u001b[';
const paint = (code: number) => (text: string): string => `${ESCAPE}${code}m${text}${ESCAPE}0m`;
const plain = (text: string): string => text;

export function palette(color: boolean): Palette {
  if (!color) return { good: plain, bad: plain, dim: plain, bold: plain };
  return { good: paint(32), bad: paint(31), dim: paint(2), bold: paint(1) };
}
