/** Rows of a list that is renewed while somebody reads it: nothing moves until the reader asks for the new ones. */

export interface Held<T> {
  rows: T[];
  /** Rows that are new. */
  fresh: number;
  /** Rows that the list no longer has, shown as they were. */
  gone: number;
}

/** The rows that were shown, in their order and with their newest state, and the numbers of new and of old ones. */
export function held<T>(
  shown: readonly string[],
  newest: readonly T[],
  last: ReadonlyMap<string, T>,
  id: (row: T) => string,
): Held<T> {
  const byId = new Map(newest.map((row) => [id(row), row]));
  const rows = shown.flatMap((each) => byId.get(each) ?? last.get(each) ?? []);
  const known = new Set(shown);
  const fresh = newest.findIndex((row) => known.has(id(row)));
  return { rows, fresh: fresh < 0 ? newest.length : fresh, gone: rows.filter((row) => !byId.has(id(row))).length };
}
