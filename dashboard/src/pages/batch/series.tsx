import { useBatchSeries } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { SeriesCharts } from "../../ui/series-charts";

/** Charts of a batch. */
export function Series({ batch }: { batch: Schemas["BatchState"] }) {
  const running = batch.status !== "finished";
  const query = useBatchSeries(batch.batch_id, running);
  if (!running && query.data?.points.length === 0) return null;
  return <SeriesCharts query={query} empty="No item has ended yet" />;
}
