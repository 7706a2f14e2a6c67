import type { Schemas } from "../api/client";

type State = Schemas["BatchState"];
type Progressed = Schemas["BatchProgressed"];
type Finished = Schemas["BatchFinished"];
export type Event = Progressed | Finished;

/** The state of a batch after an event of it. Events that are older than the state change nothing. */
export function applied(state: State, event: Event): State {
  if (event.round < state.round || event.batch_id !== state.batch_id) return state;
  if ("finished_at" in event) {
    return {
      ...state,
      round: event.round,
      status: "finished",
      result: event.result,
      counts: event.counts,
      finished_at: event.finished_at,
      items_per_s: null,
      eta_s: null,
      waiting: null,
    };
  }
  if (state.status === "finished" && event.round === state.round) return state;
  return {
    ...state,
    round: event.round,
    status: event.status,
    result: null,
    counts: event.counts,
    items_per_s: event.items_per_s ?? null,
    eta_s: event.eta_s ?? null,
    ...(event.forecast ? { forecast: event.forecast } : {}),
    ...(event.round > state.round ? { finished_at: null } : {}),
  };
}

/**
 * The rows of a list after events of batches, and whether it has a row for each of them whose state it shows: one that is
 * new, or that has ended, may belong to a list or no longer.
 */
export function renewed(batches: State[], events: Event[]): { batches: State[]; isWhole: boolean } {
  const byId = new Map(events.map((event) => [event.batch_id, event]));
  let isWhole = true;
  const rows = batches.map((state) => {
    const event = byId.get(state.batch_id);
    if (!event) return state;
    byId.delete(state.batch_id);
    const after = applied(state, event);
    if (after.status !== state.status) isWhole = false;
    return after;
  });
  return {
    batches: rows.some((row, place) => row !== batches[place]) ? rows : batches,
    isWhole: isWhole && byId.size === 0,
  };
}

/** The pause before the next try to connect: random, twice as long at most after each failure. */
export function pauseAfter(failures: number, random: number): number {
  return 300 + random * Math.min(15_000, 500 * 2 ** failures);
}
