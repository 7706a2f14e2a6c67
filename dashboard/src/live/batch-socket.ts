import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { forOwner } from "../api/acting-for";
import { batchKey } from "../api/batch";
import type { Schemas } from "../api/client";
import { liveUpdates } from "../app/preferences";
import { Store, useStore } from "../app/store";
import { applied, pauseAfter } from "./frame";

export type Connection = "live" | "polling" | "offline";
export const connection = new Store<Connection>("polling");

const MAX_FAILURES = 3;

/**
 * Follows the progress of a batch by its WebSocket, and returns the progress within the items that run. After three
 * failures in a row the page polls. A tab that is hidden listens to nothing.
 */
export function useBatchSocket(id: string, running: boolean): { progress: number | null; isLive: boolean } {
  const client = useQueryClient();
  const wanted = useStore(liveUpdates);
  const [progress, setProgress] = useState<number | null>(null);
  const [isLive, setLive] = useState(false);

  useEffect(() => {
    if (!running || !wanted) {
      setProgress(null);
      return;
    }
    let socket: WebSocket | null = null;
    let failures = 0;
    let timer = 0;
    let frame = 0;
    let newest: Schemas["BatchProgressed"] | Schemas["BatchFinished"] | null = null;

    const draw = () => {
      frame = 0;
      const event = newest;
      newest = null;
      if (event === null) return;
      client.setQueryData<Schemas["BatchState"]>(batchKey(id), (state) => state && applied(state, event));
      setProgress("progress" in event ? (event.progress ?? null) : null);
      if ("finished_at" in event) {
        for (const name of ["batch", "failures", "items", "results", "deliveries", "timeline"]) {
          client.invalidateQueries({ queryKey: [name, id] });
        }
      }
    };

    const open = () => {
      const path = forOwner(`/api/v1/batches/${id}/progress`);
      socket = new WebSocket(location.origin.replace(/^http/, "ws") + path, ["batchyard"]);
      socket.onopen = () => {
        failures = 0;
        setLive(true);
      };
      socket.onmessage = (message) => {
        newest = JSON.parse(message.data);
        frame ||= requestAnimationFrame(draw);
      };
      socket.onclose = (event) => {
        setLive(false);
        socket = null;
        failures += 1;
        if (event.code !== 1000 && failures < MAX_FAILURES && document.visibilityState === "visible") {
          timer = window.setTimeout(open, pauseAfter(failures, Math.random()));
        }
      };
    };

    const onVisibility = () => {
      window.clearTimeout(timer);
      if (document.visibilityState === "hidden") socket?.close(1000);
      else if (socket === null) open();
    };

    if (document.visibilityState === "visible") open();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      window.clearTimeout(timer);
      cancelAnimationFrame(frame);
      if (socket) {
        socket.onclose = null;
        socket.close(1000);
      }
      setLive(false);
    };
  }, [client, id, running, wanted]);

  return { progress, isLive };
}
