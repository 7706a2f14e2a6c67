/** Entries that fit a text: first those whose name begins with it, then those that contain it, then by other words. */
export function ranked<T extends { name: string; words: string }>(entries: T[], text: string): T[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return entries;
  return entries
    .map((entry) => [rank(entry, wanted), entry] as const)
    .filter(([place]) => place < 3)
    .sort(([one], [other]) => one - other)
    .map(([, entry]) => entry);
}

function rank({ name, words }: { name: string; words: string }, wanted: string): number {
  const lower = name.toLowerCase();
  if (lower.startsWith(wanted)) return 0;
  if (lower.includes(wanted)) return 1;
  return words.includes(wanted) ? 2 : 3;
}
