import { Store } from "../app/store";

/** Another owner whose batches an operator looks at; null for the own ones. It lasts as long as the page. */
export const actingFor = new Store<string | null>(null);

/** The address of a link of the page, which names that owner, so that a new tab shows the same batches. */
export function linkFor(path: string, owner: string | null): string {
  if (owner === null || /[?&]owner=/.test(path)) return path;
  return `${path}${path.includes("?") ? "&" : "?"}owner=${encodeURIComponent(owner)}`;
}

/** Takes the owner that the address of the page names out of it, and returns it. */
export function ownerOfAddress(): string | null {
  const { pathname, search, hash } = location;
  const query = new URLSearchParams(search);
  const owner = query.get("owner");
  if (owner === null) return null;
  query.delete("owner");
  history.replaceState(history.state, "", `${pathname}${query.size > 0 ? `?${query}` : ""}${hash}`);
  return owner || null;
}

/** A path of the API for the batches of that owner. Other paths, and the submission of batches, concern the own owner. */
export function forOwner(path: string, method = "GET"): string {
  const owner = actingFor.get();
  const [place = ""] = path.split("?");
  const concerns = /\/api\/v1\/batches(\/|$)/.test(place);
  const submits = method === "POST" && /\/(batches|items)$/.test(place);
  if (owner === null || !concerns || submits) return path;
  return `${path}${path.includes("?") ? "&" : "?"}owner=${encodeURIComponent(owner)}`;
}
