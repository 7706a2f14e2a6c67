import { keepPreviousData, QueryClient, useQuery } from "@tanstack/react-query";
import { liveUpdates } from "../app/preferences";
import { useStore } from "../app/store";
import { actingFor } from "./acting-for";
import { ApiError, api, bodyOf, sessionState } from "./client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (failures, error) => error instanceof ApiError && error.passes && failures < 2,
      retryDelay: (attempt) => Math.min(8_000, 500 * 2 ** attempt),
      staleTime: 2_000,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

/** Tells whether the page renews itself: updates are on, and the session is open. */
export function useUpdates(): boolean {
  const isLive = useStore(liveUpdates);
  const isOpen = useStore(sessionState) === "open";
  return isLive && isOpen;
}

/** The interval of polling, or none while the page does not renew itself. */
export function useInterval(milliseconds: number | false): number | false {
  return useUpdates() ? milliseconds : false;
}

export interface BatchFilter {
  status?: "open" | "running" | "paused" | "finished" | undefined;
  result?: "completed" | "partial" | "failed" | "cancelled" | undefined;
  workload?: string | undefined;
  q?: string | undefined;
  label?: string[] | undefined;
  before?: string | undefined;
  limit?: number;
  owner?: string | undefined;
}

function given<T extends object>(filter: T): T {
  return Object.fromEntries(
    Object.entries(filter).filter(([, value]) => value !== undefined && value !== "" && value?.length !== 0),
  ) as T;
}

export function useMeta() {
  return useQuery({
    queryKey: ["meta"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/meta", { signal })),
    staleTime: 60_000,
  });
}

export function useBatches(filter: BatchFilter, every: number | false = 3_000) {
  return useQuery({
    queryKey: ["batches", filter],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/batches", { params: { query: given(filter) }, signal })),
    refetchInterval: useInterval(every),
    placeholderData: keepPreviousData,
  });
}

export function useWorkloads(every = 15_000) {
  return useQuery({
    queryKey: ["workloads"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/workloads", { signal })),
    refetchInterval: useInterval(every),
  });
}

export function useWorkers(every = 4_000) {
  return useQuery({
    queryKey: ["workers"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/workers", { signal })),
    refetchInterval: useInterval(every),
  });
}

export function useRates(history: number, every = 4_000) {
  return useQuery({
    queryKey: ["rates", history],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/rates", { params: { query: { history } }, signal })),
    refetchInterval: useInterval(every),
  });
}

export type Span = "hour" | "day" | "week";

export function useSeries(span: Span) {
  const owner = useStore(actingFor);
  return useQuery({
    queryKey: ["series", owner, span],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/series", { params: { query: { span, ...(owner === null ? {} : { owner }) } }, signal })),
    refetchInterval: useInterval(span === "hour" ? 10_000 : 60_000),
    placeholderData: keepPreviousData,
  });
}

export const overviewKey = (owner: string | null) => ["overview", owner] as const;

export function useOverview(every: number | false = 3_000) {
  const owner = useStore(actingFor);
  return useQuery({
    queryKey: overviewKey(owner),
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/overview", { params: { query: owner === null ? {} : { owner } }, signal })),
    refetchInterval: useInterval(every),
  });
}

/** Shows the batches of another owner to an operator; null: the own ones again. */
export function actFor(owner: string | null): void {
  actingFor.set(owner);
  void queryClient.resetQueries();
}
