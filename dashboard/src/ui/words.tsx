import { excerpt } from "./text";
import { spansOf } from "./words-spans";

/** The first characters of a foreign text, with what stands between backticks shown as code. Nothing else is markup. */
export function Words({ text, length = 240 }: { text: string; length?: number }) {
  return (
    <>
      {spansOf(excerpt(text, length)).map(({ at, isCode, words }) =>
        isCode ? <code key={at}>{words}</code> : <span key={at}>{words}</span>,
      )}
    </>
  );
}
