import { expect, test } from "vitest";
import { columns, lines, marksOf, placeAt, roundMaximum } from "./chart-shape";

test("the scale ends at a round number", () => {
  expect([0, 0.03, 1, 1.2, 4.9, 51, 100, 730].map(roundMaximum)).toEqual([1, 0.03, 1, 2, 5, 60, 100, 800]);
});

test("a line is broken where nothing ran, and a single value is a dot", () => {
  expect(lines([10, null, 0, 5], 10)).toBe("M125 0h0.01M625 100L875 50");
  expect(lines([null, null], 10)).toBe("");
});

test("columns stand on those below them", () => {
  expect(columns([5, 0], [5, 0], 10)).toBe("M50 50V0h400V50z");
});

test("a pointer finds a value, also at the edges", () => {
  expect([-1, 0, 0.49, 0.5, 1, 2].map((share) => placeAt(share, 2))).toEqual([0, 0, 0, 1, 1, 1]);
});

test("an event marks the step in which it happened, and once", () => {
  const events = [
    { at: 5, words: "early" },
    { at: 10, words: "paused" },
    { at: 19, words: "paused" },
    { at: 29, words: "resumed" },
    { at: 30, words: "late" },
  ];
  expect(marksOf(events, 10, 10, 2)).toEqual([["paused"], ["resumed"]]);
  expect(marksOf(events, 10, 0, 1)).toEqual([[]]);
});
