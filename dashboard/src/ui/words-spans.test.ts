import { expect, test } from "vitest";
import { spansOf } from "./words-spans";

const shown = (text: string) => spansOf(text).map(({ isCode, words }) => (isCode ? `[${words}]` : words));

test("words between backticks are code", () => {
  expect(shown("Sends `url` by `GET`.")).toEqual(["Sends ", "[url]", " by ", "[GET]", "."]);
  expect(shown("plain")).toEqual(["plain"]);
  expect(shown("")).toEqual([]);
});

test("a backtick alone stays, and a span does not cross lines", () => {
  expect(shown("a ` b")).toEqual(["a ` b"]);
  expect(shown("a `b\nc` d")).toEqual(["a `b\nc` d"]);
});
