import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { say } from "../ui/toast";
import { api, bodyOf, fetchText, idempotencyKey, type Schemas } from "./client";
import { useInterval } from "./queries";

/** What the API knows of one batch. */

export const batchKey = (id: string) => ["batch", id] as const;

export function useBatch(id: string, every: number) {
  const interval = useInterval(every);
  return useQuery({
    queryKey: batchKey(id),
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: (query) => (query.state.data?.status === "finished" ? false : interval),
  });
}

export function useFailures(id: string, running: boolean) {
  const interval = useInterval(4_000);
  return useQuery({
    queryKey: ["failures", id],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/failures", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: running ? interval : false,
  });
}

export function useDeliveries(id: string, running: boolean) {
  const interval = useInterval(5_000);
  return useQuery({
    queryKey: ["deliveries", id],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches/{batch_id}/deliveries", { params: { path: { batch_id: id } }, signal })),
    refetchInterval: (query) =>
      running || query.state.data?.deliveries?.some((each) => each.state === "pending") ? interval : false,
  });
}

export function useLineage(id: string) {
  return useQuery({
    queryKey: ["lineage", id],
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
  const interval = useInterval(3_000);
  return useQuery({
    queryKey: ["results", id, round, filter],
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

export function useReasons(id: string) {
  const interval = useInterval(3_000);
  return useQuery({
    queryKey: ["reasons", id],
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
  const interval = useInterval(3_000);
  return useQuery({
    queryKey: ["items", id, round, filter],
    queryFn: ({ signal }) => {
      const query = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
      return bodyOf(api.GET("/api/v1/batches/{batch_id}/items", { params: { path: { batch_id: id }, query }, signal }));
    },
    refetchInterval: running ? interval : false,
    placeholderData: (before) => before,
  });
}

export function useItem(id: string, ordinal: number, running: boolean) {
  const interval = useInterval(3_000);
  return useQuery({
    queryKey: ["item", id, ordinal],
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
  const interval = useInterval(5_000);
  return useQuery({
    queryKey: ["timeline", id],
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
