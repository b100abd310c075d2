/** Name patterns: `*` stands for any run of characters, dots among them. Both sides in lower case. Linear in name times pattern. */
export function matchesPattern(pattern: string, name: string): boolean {
  let [at, from] = [0, 0];
  // Where the last `*` stands, and how much of the name it has taken.
  let [star, taken] = [-1, 0];
  while (from < name.length) {
    if (at < pattern.length && pattern[at] === '*') {
      star = at;
      taken = from;
      at += 1;
    } else if (at < pattern.length && pattern[at] === name[from]) {
      at += 1;
      from += 1;
    } else if (star >= 0) {
      taken += 1;
      at = star + 1;
      from = taken;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

export function isWildcard(pattern: string): boolean {
  return pattern.includes('*');
}
