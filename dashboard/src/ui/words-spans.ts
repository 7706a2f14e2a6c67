export interface Span {
  /** Place in the text. */
  at: number;
  isCode: boolean;
  words: string;
}

/** The parts of a text: those between two backticks of one line are code. A backtick without another one stays. */
export function spansOf(text: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  const add = (at: number, words: string, isCode: boolean) => {
    if (words !== "") spans.push({ at, isCode, words });
  };
  for (const found of text.matchAll(/`([^`\n]+)`/g)) {
    add(from, text.slice(from, found.index), false);
    add(found.index, found[1] ?? "", true);
    from = found.index + found[0].length;
  }
  add(from, text.slice(from), false);
  return spans;
}
