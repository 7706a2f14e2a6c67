import { expect, test } from "vitest";
import { bulkCommand, bulkFilter } from "./bulk";

test("an action is for the batches that the list shows", () => {
  expect(bulkFilter({ status: "running", q: "friday", label: ["team=a=b", "odd"], limit: 50, before: "x" })).toEqual({
    state: ["running"],
    q: "friday",
    label: { team: "a=b" },
  });
  expect(bulkFilter({ status: "finished", result: "failed" })).toEqual({ state: ["failed"] });
});

test("without a filter there is no action", () => {
  expect(bulkFilter({ limit: 50, label: [] })).toBeNull();
});

test("the command line does the same", () => {
  const filter = bulkFilter({ workload: "noop", q: "a b" });
  expect(bulkCommand("change", filter ?? {}, "low", (text) => `'${text}'`)).toBe(
    "batchyard bulk run change --workload noop --search 'a b' --to low --yes",
  );
});
