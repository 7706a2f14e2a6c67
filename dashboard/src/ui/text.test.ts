import { expect, test, vi } from "vitest";
import {
  bytes,
  clockTime,
  distance,
  duration,
  exactTime,
  excerpt,
  indented,
  percent,
  perSecond,
  roughly,
  safeAddress,
  stepTime,
  visible,
} from "./text";

test("a share is rounded down, and 100 % stands for all", () => {
  expect(percent(999_999, 1_000_000)).toBe("99.9 %");
  expect(percent(1_000, 1_000)).toBe("100 %");
  expect(percent(1, 3)).toBe("33 %");
  expect(percent(0, 0)).toBe("0 %");
});

test.each([
  [0.25, "250 ms"],
  [3.44, "3.4 s"],
  [59.7, "1 min"],
  [3_600, "1 h"],
  [90_061, "1 d 1 h"],
])("a duration of %d s is %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("an estimate has one unit", () => {
  expect([roughly(4), roughly(61), roughly(1_488), roughly(9_000)]).toEqual([
    "some seconds",
    "60 s",
    "25 min",
    "2.5 h",
  ]);
});

test("times are told by their distance, to both sides", () => {
  expect(distance(1_000_000, 1_002_000)).toBe("just now");
  expect(distance(0, 7_200_000)).toBe("2 h ago");
  expect(distance(300_000, 0)).toBe("in 5 min");
});

test("the time of an end has its date on another day", () => {
  const noon = Date.UTC(2026, 10, 30, 12);
  expect(clockTime(noon + 3_600_000, noon, "utc")).toBe("13:00");
  expect(clockTime(noon + 48 * 3_600_000, noon, "utc")).toContain("2 Dec");
});

test("paces below one are told by the hour", () => {
  expect([perSecond(1_840.4), perSecond(2.25), perSecond(0.01)]).toEqual(["1,840/s", "2.3/s", "36/h"]);
});

test("characters that cannot be seen, or turn text around, are written out", () => {
  expect(visible("a\u202eb\u0000\u200bc\n")).toBe("a\\u202eb\\u0000\\u200bc\n");
  expect(excerpt("x".repeat(300), 10)).toBe(`${"x".repeat(10)}…`);
});

test("indented JSON keeps numbers and strings as they were written", () => {
  const text = '{"a":1.0,"big":12345678901234567890,"s":"{,}\\"","l":[],"o":{"b":[1,2]}}';
  const shown = indented(text);
  expect(shown).toContain("1.0");
  expect(shown).toContain("12345678901234567890");
  expect(shown).toContain('"{,}\\""');
  expect(JSON.parse(shown)).toEqual(JSON.parse(text));
});

test("JSON that breaks off is shown as far as it goes", () => {
  expect(indented('{"a": "unfin')).toContain('"unfin');
});

test("only http and https become links", () => {
  expect(safeAddress("javascript:alert(1)")).toBeNull();
  expect(safeAddress("https://example.org/x")?.host).toBe("example.org");
});

test("sizes are told in three digits", () => {
  expect([999, 1_500, 2_340_000, 8 * 1024 ** 3].map(bytes)).toEqual(["999 B", "1.5 kB", "2.3 MB", "8.6 GB"]);
});

test("formats of times are made once: rows that change many times a second make none", () => {
  let made = 0;
  const Counted = class extends Intl.DateTimeFormat {
    constructor(...options: ConstructorParameters<typeof Intl.DateTimeFormat>) {
      super(...options);
      made += 1;
    }
  };
  vi.stubGlobal("Intl", { DateTimeFormat: Counted });
  for (let minute = 0; minute < 50; minute++) {
    exactTime(minute * 60_000, "utc");
    clockTime(minute * 60_000, 0, "utc");
    stepTime(minute * 60_000, 10, 60, "utc");
  }
  vi.unstubAllGlobals();
  expect(made).toBeLessThanOrEqual(3);
});
