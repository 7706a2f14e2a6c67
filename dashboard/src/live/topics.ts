import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { actingFor } from "../api/acting-for";
import { isPartOf, stateKey } from "../api/batch";
import type { Schemas } from "../api/client";
import { overviewKey, useUpdates } from "../api/queries";
import { useStore } from "../app/store";
import { applied, type Event, renewed } from "./frame";
import { connection, type Frame, subscribe } from "./stream";

/** Topics of the stream, whose data take the place of what the page asked for. Each hook tells whether it is live. */

const LIST_PAUSE_MS = 1_000;
const ROWS_OF_FRAME = 20;
const PARTS_PAUSE_MS = 3_000;
const END_PAUSE_MS = 5_000; // after which the last samples of charts are there

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

/**
 * Follows one batch: its counts as they change, its ends, and the progress within the items that run. The other parts of the
 * batch that are shown, such as its items, are read again when something has changed.
 */
export function useBatchTopic(id: string): number | null {
  const client = useQueryClient();
  const [progress, setProgress] = useState<number | null>(null);
  const timer = useRef(0);
  const isFirst = useRef(true);
  useEffect(() => () => clearTimeout(timer.current), []);
  const isLive = useTopic(`batch/${id}`, 50, ({ kind, data }) => {
    if (kind === "error") return;
    const event = data as Event;
    client.setQueryData<Schemas["BatchState"]>(stateKey(id), (state) => state && applied(state, event));
    setProgress("progress" in event ? (event.progress ?? null) : null);
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    if (kind === "end") clearTimeout(timer.current);
    else if (timer.current) return;
    timer.current = window.setTimeout(
      () => {
        timer.current = 0;
        void client.invalidateQueries({ predicate: ({ queryKey }) => isPartOf(id, queryKey) });
      },
      kind === "end" ? END_PAUSE_MS : PARTS_PAUSE_MS,
    );
  });
  return isLive ? progress : null;
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
 * Follows all batches: rows of lists change as their batches do, some in each frame of the screen, so that no frame takes
 * long. Lists are read again when they lack a batch.
 */
export function useBatchesTopic(): boolean {
  const client = useQueryClient();
  const timer = useRef(0);
  const waiting = useRef(new Map<string, Event>());
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
    const events = [...waiting.current.values()].slice(0, ROWS_OF_FRAME);
    for (const event of events) waiting.current.delete(event.batch_id);
    nextFrame.current = waiting.current.size > 0 ? requestAnimationFrame(apply) : 0;
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
    for (const event of data as Event[]) waiting.current.set(event.batch_id, event);
    nextFrame.current ||= requestAnimationFrame(apply);
  });
}
