import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { forOwner } from "../api/acting-for";
import { stateKey } from "../api/batch";
import type { Schemas } from "../api/client";
import { useUpdates } from "../api/queries";
import { Store } from "../app/store";
import { applied, pauseAfter } from "./frame";

type Event = Schemas["BatchProgressed"] | Schemas["BatchFinished"];

export type Connection = "live" | "polling" | "offline";
export const connection = new Store<Connection>("polling");

/**
 * Follows the progress of a batch by its WebSocket, and returns the progress within the items that run. While it is not
 * connected the page polls, and it tries again at growing pauses. A tab that is hidden listens to nothing.
 */
export function useBatchSocket(id: string, running: boolean): { progress: number | null; isLive: boolean } {
  const client = useQueryClient();
  const wanted = useUpdates();
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

    const open = () => {
      window.clearTimeout(timer);
      const path = forOwner(`/api/v1/batches/${id}/progress`);
      socket = new WebSocket(location.origin.replace(/^http/, "ws") + path, ["batchyard"]);
      socket.onopen = () => setLive(true);
      socket.onmessage = (message) => {
        failures = 0;
        const event: Event = JSON.parse(message.data);
        client.setQueryData<Schemas["BatchState"]>(stateKey(id), (state) => state && applied(state, event));
        setProgress("progress" in event ? (event.progress ?? null) : null);
      };
      socket.onclose = () => {
        setLive(false);
        socket = null;
        failures += 1;
        timer = window.setTimeout(open, pauseAfter(failures, Math.random()));
      };
    };

    const close = () => {
      window.clearTimeout(timer);
      if (socket) {
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close(1000);
        socket = null;
      }
      setLive(false);
    };

    const onVisibility = () => {
      if (document.visibilityState === "hidden") close();
      else if (socket === null) open();
    };

    onVisibility();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      close();
    };
  }, [client, id, running, wanted]);

  return { progress, isLive };
}
