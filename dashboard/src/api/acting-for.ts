import { Store } from "../app/store";

/** Another owner whose batches an operator looks at; null for the own ones. It lasts as long as the page. */
export const actingFor = new Store<string | null>(null);

/** A path of the API for the batches of that owner. Other paths, and the submission of batches, concern the own owner. */
export function forOwner(path: string, method = "GET"): string {
  const owner = actingFor.get();
  const [place = ""] = path.split("?");
  const concerns = /\/api\/v1\/batches(\/|$)/.test(place);
  const submits = method === "POST" && /\/(batches|items)$/.test(place);
  if (owner === null || !concerns || submits) return path;
  return `${path}${path.includes("?") ? "&" : "?"}owner=${encodeURIComponent(owner)}`;
}
