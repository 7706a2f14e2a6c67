/** The keys of the page. A sequence has its keys divided by a blank. */

export interface Key {
  keys: string;
  does: string;
  group: "Everywhere" | "Go to" | "Lists" | "A batch";
}

export const GO_TO: [key: string, path: string, name: string][] = [
  ["o", "/", "Overview"],
  ["b", "/batches", "Batches"],
  ["s", "/schedules", "Schedules"],
  ["t", "/templates", "Templates"],
  ["w", "/workloads", "Workloads"],
  ["r", "/destinations", "Destinations"],
  ["p", "/workers", "Workers"],
  ["d", "/dead-letters", "Dead letters"],
  ["k", "/keys", "Keys"],
  ["a", "/audit", "Audit"],
];

export const KEYS: Key[] = [
  { keys: "?", does: "this list", group: "Everywhere" },
  { keys: "Ctrl+k", does: "command box", group: "Everywhere" },
  { keys: "/", does: "filter", group: "Everywhere" },
  { keys: "c", does: "submit a batch", group: "Everywhere" },
  { keys: "t", does: "light or dark", group: "Everywhere" },
  { keys: "u", does: "times in UTC or local", group: "Everywhere" },
  { keys: "l", does: "live updates on or off", group: "Everywhere" },
  { keys: "Escape", does: "close, or leave the field", group: "Everywhere" },
  { keys: "ArrowDown", does: "from the filter to the rows, and on", group: "Lists" },
  ...GO_TO.map(([key, , name]): Key => ({ keys: `g ${key}`, does: name, group: "Go to" })),
  { keys: "j", does: "next row", group: "Lists" },
  { keys: "k", does: "row before", group: "Lists" },
  { keys: "Enter", does: "open the row", group: "Lists" },
  { keys: "[", does: "page or tab before", group: "Lists" },
  { keys: "]", does: "next page or tab", group: "Lists" },
  { keys: "p", does: "pause or resume", group: "A batch" },
  { keys: "r", does: "retry failed items", group: "A batch" },
];

/** The name of a key press as the map writes it. */
export function nameOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">): string {
  if (event.altKey) return "";
  const key = event.key.length === 1 && (event.ctrlKey || event.metaKey) ? event.key.toLowerCase() : event.key;
  return event.ctrlKey || event.metaKey ? `Ctrl+${key}` : key;
}

/** The sequence after a key: two keys make one, if the first of them begins a sequence. */
export function sequence(before: string, key: string): string {
  return before === "g" ? `g ${key}` : key;
}
