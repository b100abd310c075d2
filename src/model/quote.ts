/**
 * How text of unknown origin appears in messages and log lines: in double quotes, control and non-ASCII characters
 * escaped, cut after `limit` characters with the full length named. Never throws.
 */
export function quote(text: string, limit = 80): string {
  const shown = text.length > limit ? text.slice(0, limit) : text;
  let out = '';
  for (let i = 0; i < shown.length; i++) {
    const unit = shown.charCodeAt(i);
    if (unit === 0x22 || unit === 0x5c) out += `\\${shown[i] ?? ''}`;
    else if (unit >= 0x20 && unit < 0x7f) out += shown[i] ?? '';
    else if (unit === 0x0a) out += '\\n';
    else if (unit === 0x09) out += '\\t';
    else out += `\\u${unit.toString(16).padStart(4, '0')}`;
  }
  return text.length > limit ? `"${out}..." (${text.length} characters)` : `"${out}"`;
}
