import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { applied, pauseAfter, renewed } from "./frame";

const ID = "01a22dab-1019-7182-b5f5-69507578385d";
const STATE = {
  batch_id: ID,
  round: 1,
  status: "running",
  counts: { total: 10, succeeded: 2, remaining: 8 },
} as Schemas["BatchState"];

function progressed(part: object): Schemas["BatchProgressed"] {
  return { batch_id: ID, round: 1, status: "running", counts: { total: 10 }, ...part } as Schemas["BatchProgressed"];
}

test("progress renews counts, throughput and estimate", () => {
  const state = applied(STATE, progressed({ counts: { total: 10, succeeded: 5 }, items_per_s: 3, eta_s: 2 }));
  expect([state.counts.succeeded, state.items_per_s, state.eta_s]).toEqual([5, 3, 2]);
});

test("an event of an earlier round, or of another batch, changes nothing", () => {
  expect(applied({ ...STATE, round: 2 }, progressed({}))).toEqual({ ...STATE, round: 2 });
  expect(applied(STATE, progressed({ batch_id: "other" }))).toBe(STATE);
});

test("late progress does not open a round that has ended", () => {
  const ended = applied(STATE, { ...progressed({}), result: "partial", finished_at: "2026-11-30T12:00:00Z" } as never);
  expect([ended.status, ended.result]).toEqual(["finished", "partial"]);
  expect(applied(ended, progressed({}))).toBe(ended);
});

test("a retry begins a new round, whose counts may be lower", () => {
  const ended = {
    ...STATE,
    status: "finished",
    result: "partial",
    finished_at: "2026-11-30T12:00:00Z",
  } as Schemas["BatchState"];
  const again = applied(ended, progressed({ round: 2, counts: { total: 10, succeeded: 1 } }));
  expect([again.status, again.result, again.finished_at, again.counts.succeeded]).toEqual(["running", null, null, 1]);
});

test("pauses between tries grow to fifteen seconds and no further", () => {
  expect(pauseAfter(1, 0)).toBe(300);
  expect(pauseAfter(50, 1)).toBe(15_300);
});

test("rows of a list change with their batches, and keep their identity otherwise", () => {
  const other = { ...STATE, batch_id: "other" };
  const { batches, isWhole } = renewed([STATE, other], [progressed({ counts: { total: 10, succeeded: 5 } })]);
  expect([batches[0]?.counts.succeeded, batches[1] === other, isWhole]).toEqual([5, true, true]);
  const list = [STATE];
  expect(renewed(list, []).batches).toBe(list);
});

test("a list is read again for a batch that it lacks, and when one changes its status", () => {
  expect(renewed([STATE], [progressed({ batch_id: "new" })]).isWhole).toBe(false);
  expect(renewed([STATE], [progressed({ status: "paused" })]).isWhole).toBe(false);
});
