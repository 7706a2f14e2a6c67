import { actingFor } from "../api/acting-for";
import { fetchText, sessionState } from "../api/client";
import { Store } from "../app/store";
import { pauseAfter } from "./frame";

/** One WebSocket for the whole page. Parts of the page subscribe to topics, and hear of their newest data alone. */

export interface Frame {
  id: string;
  seq: number;
  /** `behind`: changes were missed, and the data are to be read again. */
  kind: "snapshot" | "change" | "end" | "behind" | "error";
  data?: unknown;
}

/** `polling`: no part of the page listens, or the stream has not opened yet. */
export type Connection = "live" | "reconnecting" | "polling";
export const connection = new Store<Connection>("polling");

interface Subscription {
  topic: string;
  everyMs: number;
  onFrame: (frame: Frame) => void;
}

const SILENCE_MS = 40_000; // the server sends an empty array every 15 s
const IDLE_MS = 2_000; // from one page to the next the stream stays
const UNAUTHORIZED = 4401;

const subscriptions = new Map<string, Subscription>();
let socket: WebSocket | null = null;
let failures = 0;
let retryTimer = 0;
let silenceTimer = 0;
let idleTimer = 0;
let lastId = 0;

/** Subscribes to a topic until the function that is returned is called. After a break the stream begins it again. */
export function subscribe(topic: string, everyMs: number, onFrame: (frame: Frame) => void): () => void {
  lastId += 1;
  const id = String(lastId);
  subscriptions.set(id, { topic, everyMs, onFrame });
  clearTimeout(idleTimer);
  if (socket?.readyState === WebSocket.OPEN) send(id);
  else open();
  return () => {
    subscriptions.delete(id);
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ op: "unsub", id }));
    if (subscriptions.size === 0) idleTimer = window.setTimeout(close, IDLE_MS);
  };
}

function send(id: string): void {
  const wanted = subscriptions.get(id);
  if (wanted) socket?.send(JSON.stringify({ op: "sub", id, topic: wanted.topic, every_ms: wanted.everyMs }));
}

function open(): void {
  clearTimeout(retryTimer);
  if (socket !== null || subscriptions.size === 0 || document.visibilityState === "hidden") return;
  if (sessionState.get() !== "open") return;
  const owner = actingFor.get();
  const query = owner === null ? "" : `?owner=${encodeURIComponent(owner)}`;
  const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/v1/stream${query}`, ["batchyard"]);
  socket = opened;
  listenForSilence();
  opened.onopen = () => {
    for (const id of subscriptions.keys()) send(id);
  };
  opened.onmessage = (message) => {
    listenForSilence();
    const frames: unknown = JSON.parse(message.data);
    if (!Array.isArray(frames)) {
      failures = 0; // the greeting: the client is admitted
      connection.set("live");
      return;
    }
    for (const frame of frames as Frame[]) subscriptions.get(frame.id)?.onFrame(frame);
  };
  opened.onclose = (event) => {
    if (socket !== opened) return;
    drop();
    failures += 1;
    if (event.code === UNAUTHORIZED) {
      void fetchText("/api/v1/session").catch(() => undefined); // the answer opens the dialog that asks for a key
    }
    connection.set(subscriptions.size === 0 ? "polling" : "reconnecting");
    retryTimer = window.setTimeout(open, pauseAfter(failures, Math.random()));
  };
}

function listenForSilence(): void {
  clearTimeout(silenceTimer);
  const heard = socket;
  silenceTimer = window.setTimeout(() => {
    if (socket !== heard || heard === null) return;
    drop();
    connection.set("reconnecting");
    open();
  }, SILENCE_MS);
}

/** Forgets the socket, whatever its state. */
function drop(): void {
  clearTimeout(silenceTimer);
  const dropped = socket;
  socket = null;
  if (dropped === null) return;
  dropped.onopen = dropped.onmessage = dropped.onclose = null;
  dropped.close(1000);
}

/** Closes the stream, because the session ends; a part of the page that subscribes later opens it again. */
export function hangUp(): void {
  subscriptions.clear();
  close();
}

function close(): void {
  clearTimeout(retryTimer);
  drop();
  failures = 0;
  connection.set("polling");
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") close();
  else open();
});

addEventListener("online", () => {
  if (socket === null) open();
});

actingFor.subscribe(() => {
  if (socket === null) return;
  close();
  open();
});
