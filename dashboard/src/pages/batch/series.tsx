import { useBatchSeries, useTimeline } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { SeriesCharts } from "../../ui/series-charts";
import { entryWords } from "./timeline";

const MARKED: ReadonlySet<string> = new Set<Schemas["TimelineEntryView"]["kind"]>([
  "sealed",
  "paused",
  "resumed",
  "changed",
  "cancelled",
  "retried",
  "released",
  "replayed",
  "rate_changed",
  "circuit_opened",
  "circuit_closed",
]);

/** Charts of a batch, with marks for what happened to it and to its destinations meanwhile. */
export function Series({ batch }: { batch: Schemas["BatchState"] }) {
  const running = batch.status !== "finished";
  const query = useBatchSeries(batch.batch_id, running);
  const timeline = useTimeline(batch.batch_id, running);
  if (!running && query.data?.points.length === 0) return null;
  const events = (timeline.data?.entries ?? [])
    .filter(({ kind }) => MARKED.has(kind))
    .map((entry) => ({ at: Date.parse(entry.at), words: entryWords(entry) }));
  return <SeriesCharts query={query} empty="No item has ended yet" events={events.reverse()} />;
}
