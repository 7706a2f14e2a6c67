import type { Schemas } from "../../api/client";
import type { BatchFilter } from "../../api/queries";

/** Actions on all batches that the list selects. All functions are pure. */

export type Action = Schemas["BatchActionRequest"]["action"];
type Filter = NonNullable<Schemas["BatchActionRequest"]["filter"]>;

export const ACTIONS: [Action, string, string][] = [
  ["pause", "Pause", "Running items end, no more start."],
  ["resume", "Resume", "Paused batches go on."],
  ["cancel", "Cancel", "Running items are interrupted, the others never run. Outcomes that are there stay."],
  ["retry", "Retry", "Items that did not succeed run again, in a new round."],
  ["change", "Change priority", "Items that have not started follow it at once."],
];

/** The filter of an action for a list. `null`: the list is not narrowed, and no action is for all batches. */
export function bulkFilter({ status, result, workload, q, label }: BatchFilter): Partial<Filter> | null {
  const state = result ?? status;
  const labels = (label ?? []).flatMap((text): [string, string][] => {
    const at = text.indexOf("=");
    return at > 0 ? [[text.slice(0, at), text.slice(at + 1)]] : [];
  });
  const filter = {
    ...(state ? { state: [state] } : {}),
    ...(workload ? { workload } : {}),
    ...(q ? { q } : {}),
    ...(labels.length ? { label: Object.fromEntries(labels) } : {}),
  };
  return Object.keys(filter).length > 0 ? filter : null;
}

/** The command that does the same. */
export function bulkCommand(
  action: Action,
  filter: Partial<Filter>,
  priority: string,
  quoted: (text: string) => string,
) {
  const parts = [`batchyard bulk run ${action}`];
  for (const each of filter.state ?? []) parts.push(`--status ${each}`);
  if (filter.workload) parts.push(`--workload ${filter.workload}`);
  if (filter.q) parts.push(`--search ${quoted(filter.q)}`);
  for (const [key, value] of Object.entries(filter.label ?? {})) parts.push(`--label ${quoted(`${key}=${value}`)}`);
  if (action === "change") parts.push(`--to ${priority}`);
  return `${parts.join(" ")} --yes`;
}
