import type { Schemas } from "../api/client";

type State = Schemas["BatchState"];
type Progressed = Schemas["BatchProgressed"];
type Finished = Schemas["BatchFinished"];

/** The state of a batch after an event of it. Events that are older than the state change nothing. */
export function applied(state: State, event: Progressed | Finished): State {
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
    ...(event.round > state.round ? { finished_at: null } : {}),
  };
}

/** The pause before the next try to connect: random, twice as long at most after each failure. */
export function pauseAfter(failures: number, random: number): number {
  return 300 + random * Math.min(15_000, 500 * 2 ** failures);
}
