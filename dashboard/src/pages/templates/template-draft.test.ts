import { expect, test } from "vitest";
import { draftOfTemplate, EMPTY, templateOf } from "./template-draft";

test("a template that is edited and not changed has the same content", () => {
  const template = {
    name: "weekly",
    version: 3,
    description: "Each week",
    body: { workload: "noop", items: [{ payload: { n: 1 } }] },
    parameters: { type: "object", properties: { n: { type: "integer" } } },
    fill: { "/items/0/payload/n": "n" },
  };
  const { value, wrong } = templateOf(draftOfTemplate(template as never));
  expect(wrong).toEqual({});
  expect(value).toEqual({ ...template, version: undefined });
});

test("each text says what is wrong with it", () => {
  const { wrong } = templateOf({ ...EMPTY, name: "No", body: "{", parameters: "[]", fill: "" });
  expect(Object.keys(wrong).sort()).toEqual(["body", "name", "parameters"]);
  expect(templateOf({ ...EMPTY, name: "ok" }).wrong).toEqual({ body: "The batch has to name its workload." });
});
