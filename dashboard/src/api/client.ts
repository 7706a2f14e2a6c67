import createClient, { type Middleware } from "openapi-fetch";
import { Store } from "../app/store";
import { forOwner } from "./acting-for";
import { ApiError, errorOf, UNREACHABLE } from "./problem";
import type { components, paths } from "./schema";

/** The public API and nothing else, by types that are generated from its description. */
export type Schemas = components["schemas"];

/** The state of the session: not known yet, open, or in need of a key. */
export type SessionState = "unknown" | "open" | "signed-out" | "expired";
export const sessionState = new Store<SessionState>("unknown");

/** False after a request that got no answer, until one gets one. */
export const isReachable = new Store<boolean>(true);

/** Milliseconds by which the clock of the server is ahead of that of this browser. */
export const clockOffset = new Store<number>(0);

export function serverNow(): number {
  return Date.now() + clockOffset.get();
}

const SAFE = new Set(["GET", "HEAD"]);

const middleware: Middleware = {
  async onRequest({ request }) {
    if (!SAFE.has(request.method)) request.headers.set("X-Batchyard", "dashboard");
    const { pathname, search, origin } = new URL(request.url);
    const path = forOwner(pathname + search, request.method);
    if (path === pathname + search) return request;
    const body = SAFE.has(request.method) ? null : await request.text();
    const { method, headers, signal, credentials } = request;
    return new Request(origin + path, { method, headers, signal, credentials, ...(body ? { body } : {}) });
  },
  onResponse({ response }) {
    noteAnswer(response);
  },
};

export function noteAnswer(response: Response): void {
  isReachable.set(true);
  const date = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isNaN(date)) {
    const offset = date + 500 - Date.now();
    if (Math.abs(offset - clockOffset.get()) > 2_000) clockOffset.set(Math.abs(offset) > 1_500 ? offset : 0);
  }
  if (response.status === 401) {
    sessionState.set(sessionState.get() === "open" || sessionState.get() === "expired" ? "expired" : "signed-out");
  }
}

export const api = createClient<paths>({ baseUrl: "", credentials: "same-origin" });
api.use(middleware);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of an answer; throws `ApiError`. */
export async function bodyOf<T>(request: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch (cause) {
    throw unreachable(cause);
  }
  if (answer.response.ok || answer.response.status === 304) return answer.data as T;
  throw errorOf(answer.response.status, answer.error, answer.response.headers.get("retry-after"));
}

/** The text of an answer and its headers, for formats other than JSON; throws `ApiError`. */
export async function fetchText(path: string, init: RequestInit = {}): Promise<{ text: string; headers: Headers }> {
  let response: Response;
  try {
    response = await fetch(forOwner(path, init.method), { credentials: "same-origin", ...init });
  } catch (cause) {
    throw unreachable(cause);
  }
  noteAnswer(response);
  const text = await response.text();
  if (response.ok) return { text, headers: response.headers };
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    // The body explains nothing, which `errorOf` says.
  }
  throw errorOf(response.status, body, response.headers.get("retry-after"));
}

/** The error of a request without an answer, unless the page itself has taken it back. */
function unreachable(cause: unknown): unknown {
  if (cause instanceof DOMException && cause.name === "AbortError") return cause;
  isReachable.set(false);
  return UNREACHABLE;
}

/** A new key for one click, so that a request that is sent twice acts once. */
export function idempotencyKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export { ApiError };
