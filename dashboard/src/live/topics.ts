import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { actingFor } from "../api/acting-for";
import { stateKey } from "../api/batch";
import type { Schemas } from "../api/client";
import { overviewKey, useUpdates } from "../api/queries";
import { useStore } from "../app/store";
import { applied, type Event, renewed } from "./frame";
import { connection, type Frame, subscribe } from "./stream";

/** Topics of the stream, whose data take the place of what the page asked for. Each hook tells whether it is live. */

const LIST_PAUSE_MS = 1_000;

function useTopic(topic: string | null, everyMs: number, onFrame: (frame: Frame) => void): boolean {
  const wanted = useUpdates() && topic !== null;
  const isConnected = useStore(connection) === "live";
  const latest = useRef(onFrame);
  useEffect(() => {
    latest.current = onFrame;
  });
  useEffect(() => {
    if (!wanted || topic === null) return;
    return subscribe(topic, everyMs, (frame) => latest.current(frame));
  }, [topic, everyMs, wanted]);
  return wanted && isConnected;
}

/** Follows one batch: its counts as they change, its end, and the progress within the items that run. */
export function useBatchTopic(id: string, running: boolean): { progress: number | null; isLive: boolean } {
  const client = useQueryClient();
  const [progress, setProgress] = useState<number | null>(null);
  const isLive = useTopic(running ? `batch/${id}` : null, 50, ({ kind, data }) => {
    if (kind === "error") return;
    const event = data as Event;
    client.setQueryData<Schemas["BatchState"]>(stateKey(id), (state) => state && applied(state, event));
    setProgress("progress" in event ? (event.progress ?? null) : null);
  });
  return { progress: isLive ? progress : null, isLive };
}

/** Follows the overview. */
export function useOverviewTopic(): boolean {
  const client = useQueryClient();
  const owner = useStore(actingFor);
  return useTopic("overview", 2_000, ({ kind, data }) => {
    if (kind === "snapshot" || kind === "change") client.setQueryData(overviewKey(owner), data);
  });
}

/**
 * Follows all batches: rows of lists change as their batches do, once per frame of the screen at most, and lists are read
 * again when they lack one.
 */
export function useBatchesTopic(): boolean {
  const client = useQueryClient();
  const timer = useRef(0);
  const waiting = useRef<Event[]>([]);
  const nextFrame = useRef(0);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      cancelAnimationFrame(nextFrame.current);
      nextFrame.current = 0;
    },
    [],
  );
  const readAgain = () => {
    if (timer.current) return;
    timer.current = window.setTimeout(() => {
      timer.current = 0;
      void client.invalidateQueries({ queryKey: ["batches"] });
    }, LIST_PAUSE_MS);
  };
  const apply = () => {
    nextFrame.current = 0;
    const events = waiting.current.splice(0);
    const lists = client.getQueriesData<Schemas["BatchList"]>({ queryKey: ["batches"] });
    for (const [key, list] of lists) {
      if (!list) continue;
      const { batches, isWhole } = renewed(list.batches, events);
      if (batches !== list.batches) client.setQueryData(key, { ...list, batches });
      if (!isWhole) readAgain();
    }
  };
  return useTopic("batches", 500, ({ kind, data }) => {
    if (kind === "behind") readAgain();
    if (kind !== "change") return;
    waiting.current.push(...(data as Event[]));
    nextFrame.current ||= requestAnimationFrame(apply);
  });
}
