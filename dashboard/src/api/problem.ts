import type { components } from "./schema";

type Problem = components["schemas"]["Problem"];

/** An answer of the API that is an error, or the lack of an answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfter: number | null = null,
    readonly problem: Problem | null = null,
  ) {
    super(detail);
  }

  /** True when the same request may succeed later. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body;
}

/** The error in an answer with a status of 400 or more. */
export function errorOf(status: number, body: unknown, retryAfter: string | null): ApiError {
  const after = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  if (isProblem(body)) return new ApiError(status, body.code, body.detail, after, body);
  return new ApiError(status, "no_answer", `The server answered with status ${status} and no explanation.`, after);
}

export const UNREACHABLE = new ApiError(
  0,
  "unreachable",
  "Batchyard does not answer. The connection is broken, or the service is being restarted. This page tries again.",
);
