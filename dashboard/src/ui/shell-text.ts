import { forOwner } from "../api/acting-for";

/** Text that a shell takes as one word. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const AUTHORIZED = '-H "Authorization: Bearer $BATCHYARD_TOKEN"';

/** A request as a command of curl; the address and the key come from variables. */
export function curl(method: string, path: string, body?: unknown): string {
  const verb = method === "GET" ? "" : ` -X ${method}`;
  const lines = [`curl${verb} "$BATCHYARD_URL${forOwner(path, method)}"`, AUTHORIZED];
  if (body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}
