import { expect, test } from "vitest";
import { curl, quoted } from "../ui/shell-text";
import { operationsOf, operationsOfText, typedValue } from "./batch/patch";
import { held } from "./batches/fresh";
import { cronWords } from "./schedules/cron-words";
import { formatOf, readPasted } from "./submit/items";
import { labelsOf, NO_OPTIONS, termsOf } from "./submit/options";

test("rows that are shown stay where they are, and new and old ones are counted", () => {
  const last = new Map([["b", { id: "b", n: 1 }]]);
  const newest = [
    { id: "c", n: 3 },
    { id: "a", n: 2 },
  ];
  const { rows, fresh, gone } = held(["a", "b"], newest, last, (row) => row.id);
  expect(rows).toEqual([
    { id: "a", n: 2 },
    { id: "b", n: 1 },
  ]);
  expect([fresh, gone]).toEqual([1, 1]);
});

test("rows of a form become operations", () => {
  const rows = [
    { id: 1, op: "replace", path: "url", value: "https://example.org/" },
    { id: 2, op: "add", path: "/n", value: "7" },
    { id: 3, op: "remove", path: "/fail", value: "left out" },
    { id: 4, op: "add", path: " ", value: "" },
  ] as const;
  expect(operationsOf(rows)).toEqual([
    { op: "replace", path: "/url", value: "https://example.org/" },
    { op: "add", path: "/n", value: 7 },
    { op: "remove", path: "/fail" },
  ]);
});

test("typed values are JSON where they can be", () => {
  expect([typedValue("true"), typedValue('"7"'), typedValue("seven")]).toEqual([true, "7", "seven"]);
});

test("a text that is no patch says why", () => {
  expect(operationsOfText("[{]")).toContain("no JSON");
  expect(operationsOfText('{"op": "add"}')).toContain("path");
  expect(operationsOfText("")).toEqual([]);
});

test("addresses, lines, lists and CSV are told apart", () => {
  expect(readPasted("https://a.example/\nhttps://b.example/").text).toBe(
    '{"url":"https://a.example/"}\n{"url":"https://b.example/"}\n',
  );
  expect(readPasted('{"n": 1.0}\n{"n": 2}')).toMatchObject({
    format: "ndjson",
    count: 2,
    text: '{"n": 1.0}\n{"n": 2}\n',
  });
  expect(readPasted('[{"n": 1}]')).toMatchObject({ format: "ndjson", count: 1 });
  expect(readPasted("n,custom_id\n1,a\n")).toMatchObject({ format: "csv", count: 1, wrong: null });
  expect(readPasted('{"n": 1}\n{n}').wrong).toContain("Line 2");
  expect(readPasted("[").wrong).toContain("no JSON");
  expect(readPasted("   ").count).toBe(0);
});

test("the name of a file tells its format", () => {
  expect([formatOf("a.CSV"), formatOf("b.jsonl"), formatOf("c.json"), formatOf("d.txt")]).toEqual([
    "csv",
    "ndjson",
    "json",
    null,
  ]);
});

test("options that are empty are not sent", () => {
  expect(termsOf(NO_OPTIONS)).toEqual({});
  expect(termsOf({ ...NO_OPTIONS, rate: "2.5", stopShare: "10" })).toEqual({
    rate: { per_second: 2.5 },
    failure_threshold: { share: 0.1 },
  });
  expect(labelsOf("team=a, region = west,x")).toEqual({ team: "a", region: "west" });
});

test("common cron expressions are told in words, and others are left to the server", () => {
  expect(cronWords("0 3 * * *")).toBe("every day at 03:00");
  expect(cronWords("*/15 * * * *")).toBe("every 15 minutes");
  expect(cronWords("30 8 * * 1-5")).toBe("Monday to Friday at 08:30");
  expect(cronWords("30 8 * * mon-FRI")).toBe("Monday to Friday at 08:30");
  expect(cronWords("0 6 * * MON")).toBe("every Monday at 06:00");
  expect(cronWords("0 6 * * MON#2")).toBe("at the times of its expression");
  expect(cronWords("1-5/2 * 3 * 1")).toBe("at the times of its expression");
});

test("commands for a shell are quoted", () => {
  expect(quoted("it's")).toBe("'it'\\''s'");
  expect(curl("POST", "/api/v1/batches", { a: "$x" })).toContain(`'{"a":"$x"}'`);
});
