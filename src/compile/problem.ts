/** Something desired that is not in force as it stands. */
export interface Problem {
  /** "Kind/name", "Kind/namespace/name", or a file. */
  readonly object: string;
  /** Place inside of it; may be empty. */
  readonly path: string;
  readonly message: string;
}
