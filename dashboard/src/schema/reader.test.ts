import { expect, test } from "vitest";
import { draftOf, fieldsOf, type JsonSchema, objectOf, typedValueOf, typeWords } from "./reader";

const NOOP: JsonSchema = {
  type: "object",
  required: ["n"],
  properties: {
    sleep_s: { type: "number", minimum: 0, maximum: 600, default: 0 },
    n: { type: "integer", minimum: -5, maximum: 5, title: "N" },
    fail: { anyOf: [{ type: "string", pattern: "^[a-z]+$" }, { type: "null" }], default: null, title: "Fail" },
    mode: { enum: ["fast", "slow"], default: "fast" },
    when: { type: "string", format: "date" },
    nested: { $ref: "#/$defs/Nested" },
    either: { anyOf: [{ type: "string" }, { type: "number" }] },
  },
  $defs: { Nested: { type: "object", properties: { a: { type: "string" } } } },
};

const FIELDS = fieldsOf(NOOP);
const KINDS = Object.fromEntries(FIELDS.map((field) => [field.name, field.kind]));

test("required fields come first", () => {
  expect(FIELDS[0]?.name).toBe("n");
});

test("each branch is drawn by its kind, and what is not known as JSON", () => {
  expect(KINDS).toEqual({
    n: "whole",
    sleep_s: "number",
    fail: "text",
    mode: "choice",
    when: "date",
    nested: "json",
    either: "json",
  });
});

test("only what was entered is sent: no default of the form changes a payload", () => {
  expect(objectOf(FIELDS, { n: "3" })).toEqual({ value: { n: 3 }, wrong: {} });
});

test("what does not fit is named by its field", () => {
  const { wrong } = objectOf(FIELDS, { n: "7", sleep_s: "x", nested: "{" });
  expect(Object.keys(wrong)).toEqual(["n", "sleep_s", "nested"]);
  expect(objectOf(FIELDS, {}).wrong).toEqual({ n: "This field is required." });
});

test("an example makes a draft that makes the example again", () => {
  const example = { n: 2, mode: "slow", fail: "captcha", when: "2026-11-30", nested: { a: "b" } };
  expect(objectOf(FIELDS, draftOf(FIELDS, example)).value).toEqual(example);
});

test("types are told in words", () => {
  const words = Object.fromEntries(FIELDS.map((field) => [field.name, typeWords(field)]));
  expect([words.n, words.mode, words.nested]).toEqual(["whole number from -5 to 5", "fast, slow", "object"]);
});

test.each([
  {},
  { type: "object" },
  { properties: { a: {} } },
  { properties: { a: { $ref: "#/$defs/absent" } } },
  { properties: { a: { $ref: "#/$defs/a" } }, $defs: { a: { $ref: "#/$defs/a" } } },
  { properties: { a: { type: ["string", "integer"] }, b: { not: {} }, c: { const: 4 } } },
])("an odd schema has fields all the same: %j", (schema) => {
  for (const field of fieldsOf(schema as JsonSchema)) expect(() => typedValueOf(field, "")).not.toThrow();
});

test("a name becomes a label with its acronyms as they are written", () => {
  const names = ["cue_bom", "url", "image_urls", "identity", "first_name"];
  const fields = fieldsOf({ properties: Object.fromEntries(names.map((name) => [name, { title: "" }])) } as JsonSchema);
  expect(fields.map((field) => field.label)).toEqual(["Cue BOM", "URL", "Image URLs", "Identity", "First name"]);
});
