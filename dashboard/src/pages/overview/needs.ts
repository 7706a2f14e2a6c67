import type { Schemas } from "../../api/client";
import type { IconName } from "../../ui/icon";
import { countOf, whole } from "../../ui/text";

/** What a reader should look at, the most urgent first. */

export interface Need {
  key: string;
  icon: IconName;
  tone: "bad" | "warn";
  text: string;
  path: string;
  act: string;
}

interface Known {
  ended: Schemas["BatchState"][];
  active: Schemas["BatchState"][];
  rates: Schemas["RateState"][];
  workers: number | null;
}

const DAY_MS = 86_400_000;

export function needsOf(
  { ended, active, rates, workers }: Known,
  now: number,
  name: (batch: Schemas["BatchState"]) => string,
): Need[] {
  const needs: Need[] = [];
  if (workers === 0) {
    needs.push({
      key: "workers",
      icon: "workers",
      tone: "bad",
      text: "No worker runs, so that no item does.",
      path: "/workers",
      act: "See",
    });
  }
  for (const rate of rates.filter((each) => each.circuit === "open")) {
    needs.push({
      key: `circuit ${rate.workload} ${rate.limit} ${rate.partition}`,
      icon: "circuit",
      tone: "bad",
      text: `Circuit open: ${rate.workload} at ${rate.partition || rate.limit}${rate.error ? `, ${rate.error.code}` : ""}. ${countOf(rate.waiting ?? 0, "item")} wait.`,
      path: `/destinations?workload=${rate.workload}`,
      act: "See",
    });
  }
  for (const batch of active.filter((each) => each.waiting && each.status === "running")) {
    needs.push({
      key: `waiting ${batch.batch_id}`,
      icon: "waiting",
      tone: "warn",
      text: `“${name(batch)}” waits: ${batch.waiting?.detail ?? ""}`,
      path: `/batches/${batch.batch_id}`,
      act: "See",
    });
  }
  for (const batch of ended) {
    const isRecent = batch.finished_at != null && now - Date.parse(batch.finished_at) < DAY_MS;
    const { failed = 0, expired = 0, total } = batch.counts;
    if (!isRecent || failed + expired === 0) continue;
    const isBad = batch.result === "failed" || batch.stop_reason != null;
    needs.push({
      key: `ended ${batch.batch_id}`,
      icon: isBad ? "failed" : "partial",
      tone: isBad ? "bad" : "warn",
      text: `“${name(batch)}” ended ${batch.result}: ${whole(failed + expired)} of ${total == null ? "its" : whole(total)} items did not succeed.`,
      path: `/batches/${batch.batch_id}/failures`,
      act: "Failures",
    });
  }
  return needs.sort((one, other) => Number(one.tone === "warn") - Number(other.tone === "warn"));
}
