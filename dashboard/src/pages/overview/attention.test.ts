import { expect, test } from "vitest";
import { lookOf } from "./attention";

test("each entry leads to the page that mends it", () => {
  const paths = [
    { kind: "circuit_open", detail: "", workload: "http", partition: "a.example" },
    { kind: "dead_letters", detail: "", queue: "ingest.events" },
    { kind: "no_worker", detail: "" },
    { kind: "schedule_missed", detail: "", schedule: "nightly" },
    { kind: "batch_stopped", detail: "", batch_id: "b" },
    { kind: "batch_failed", detail: "", batch_id: "b" },
  ].map((entry) => lookOf(entry as Parameters<typeof lookOf>[0]).path);
  expect(paths).toEqual([
    "/destinations?workload=http&q=a.example",
    "/dead-letters?queue=ingest.events",
    "/workers",
    "/schedules/nightly",
    "/batches/b",
    "/batches/b/failures",
  ]);
});
