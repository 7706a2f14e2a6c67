import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useStore } from "../app/store";
import { connection } from "../live/stream";
import { say } from "../ui/toast";
import { api, bodyOf, fetchText, idempotencyKey, type Schemas } from "./client";
import { useInterval } from "./queries";

/** Queries and commands that concern one batch. */

/** The key under which all queries of a batch lie, so that one call renews them all. */
export const batchKey = (id: string) => ["batch", id] as const;
export const stateKey = (id: string) => ["batch", id, "state"] as const;

/** Tells whether a query is of a part of a batch, such as its items or its charts, and not of its state. */
export function isPartOf(id: string, key: readonly unknown[]): boolean {
  return key[0] === "batch" && key[1] === id && !["state", "deliveries", "lineage"].includes(String(key[2]));
}

const SLOW_MS = 15_000; // for what the stream of a batch does not tell, such as the batches that run beside it

/** The interval of polling for a part of a batch; while the stream tells when to read it again, another one or none. */
function usePartInterval(milliseconds: number, whileLive: number | false = false): number | false {
  const isLive = useStore(connection) === "live";
  return useInterval(isLive ? whileLive : milliseconds);
}

export function useBatch(id: string) {
  const interval = usePartInterval(3_000, SLOW_MS);
  return useQuery({
    queryKey: stateKey(id),
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}", { params: { path: { batch_id: id } }, signal })),
    // A batch that has ended may be run again, also by somebody else.
    refetchInterval: (query) => interval && (query.state.data?.status === "finished" ? SLOW_MS : interval),
  });
}

/** Renews all that is known of a batch when it ends or begins another round, however the page learns of it. */
export function useRenewal({ batch_id: id, round, status }: Schemas["BatchState"]): void {
  const client = useQueryClient();
  const phase = `${round} ${status === "finished"}`;
  const before = useRef(phase);
  useEffect(() => {
    if (before.current === phase) return;
    before.current = phase;
    void client.invalidateQueries({ queryKey: batchKey(id) });
  }, [client, id, phase]);
}

export function useFailures(id: string, running: boolean) {
  const interval = usePartInterval(4_000);
  return useQuery({
    queryKey: [...batchKey(id), "failures"],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/failures", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: running ? interval : false,
  });
}

export function useDeliveries(id: string, running: boolean) {
  const interval = useInterval(5_000);
  return useQuery({
    queryKey: [...batchKey(id), "deliveries"],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/deliveries", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: (query) =>
      running || query.state.data?.deliveries?.some((each) => each.state === "pending") ? interval : false,
  });
}

export function useLineage(id: string) {
  return useQuery({
    queryKey: [...batchKey(id), "lineage"],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/lineage", { params: { path: { batch_id: id } }, signal })),
  });
}

/** An outcome with the text that the server sent for it. */
export interface Outcome {
  raw: string;
  item: Schemas["ItemResult"];
}

export interface ResultFilter {
  status?: string | undefined;
  cause?: string | undefined;
  after: number;
  limit: number;
}

/** Outcomes in the order of the items. They come as lines, so that each keeps the text that the server sent. */
export function useResults(id: string, filter: ResultFilter, round: number, running: boolean) {
  const interval = usePartInterval(3_000);
  return useQuery({
    queryKey: [...batchKey(id), "results", round, filter],
    queryFn: async ({ signal }) => {
      const query = new URLSearchParams({ format: "ndjson", after: String(filter.after), limit: String(filter.limit) });
      if (filter.status) query.set("status", filter.status);
      if (filter.cause) query.set("cause", filter.cause);
      const { text, headers } = await fetchText(`/api/v1/batches/${id}/results?${query}`, { signal });
      const lines = text.split("\n").filter((line) => line !== "");
      return {
        outcomes: lines.map((raw): Outcome => ({ raw, item: JSON.parse(raw) })),
        hasMore: headers.has("link"),
      };
    },
    refetchInterval: running ? interval : false,
  });
}

type Action = "pause" | "resume" | "cancel" | "seal";
const SAID: Record<Action, string> = {
  pause: "Pausing: running items end, no more start",
  resume: "Resuming",
  cancel: "Cancelling: running items are interrupted, results stay",
  seal: "Sealed: no more items can be added",
};

export function useControl(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (action: Action) => {
      const path = { batch_id: id };
      const header = { "Idempotency-Key": idempotencyKey() };
      if (action === "seal") return bodyOf(api.POST("/api/v1/batches/{batch_id}/seal", { params: { path } }));
      return bodyOf(api.POST(`/api/v1/batches/{batch_id}/${action}`, { params: { path, header } }));
    },
    onSuccess: (_answer, action) => {
      say(SAID[action]);
      client.invalidateQueries({ queryKey: batchKey(id) });
      client.invalidateQueries({ queryKey: ["batches"] });
    },
    onError: (error) => say(error.message, "bad"),
  });
}

export function useBatchSeries(id: string, running: boolean) {
  const interval = usePartInterval(4_000);
  return useQuery({
    queryKey: [...batchKey(id), "series"],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/series", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: running ? interval : false,
  });
}

export function useReasons(id: string) {
  const interval = usePartInterval(3_000, SLOW_MS);
  return useQuery({
    queryKey: [...batchKey(id), "reasons"],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/reasons", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: interval,
  });
}

export type ItemState = Schemas["ItemView"]["state"];

export interface ItemFilter {
  state?: Exclude<ItemState, "in_transit"> | undefined;
  cause?: string | undefined;
  custom_id?: string | undefined;
  after?: number | undefined;
}

export function useItems(id: string, filter: ItemFilter, round: number, running: boolean) {
  const interval = usePartInterval(3_000);
  return useQuery({
    queryKey: [...batchKey(id), "items", round, filter],
    queryFn: ({ signal }) => {
      const query = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
      return bodyOf(api.GET("/api/v1/batches/{batch_id}/items", { params: { path: { batch_id: id }, query }, signal }));
    },
    refetchInterval: running ? interval : false,
    placeholderData: (before) => before,
  });
}

export function useItem(id: string, ordinal: number, running: boolean) {
  const interval = usePartInterval(3_000);
  return useQuery({
    queryKey: [...batchKey(id), "item", ordinal],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/batches/{batch_id}/items/{ordinal}", {
          params: { path: { batch_id: id, ordinal } },
          signal,
        }),
      ),
    refetchInterval: running ? interval : false,
  });
}

export function useTimeline(id: string, running: boolean) {
  const interval = usePartInterval(5_000, SLOW_MS);
  return useQuery({
    queryKey: [...batchKey(id), "timeline"],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/batches/{batch_id}/timeline", {
          params: { path: { batch_id: id }, query: { limit: 50 } },
          signal,
        }),
      ),
    refetchInterval: running ? interval : false,
  });
}
