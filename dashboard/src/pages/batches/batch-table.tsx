import { memo } from "react";
import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { timeZone } from "../../app/preferences";
import { useStore } from "../../app/store";
import { Progress, percentOf } from "../../ui/progress";
import { batchState, State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { clockTime, duration, excerpt, perSecond, roughly, short } from "../../ui/text";
import { Time, useTextOfNow } from "../../ui/time";

type Batch = Schemas["BatchState"];

export function nameOfBatch(batch: Pick<Batch, "name" | "batch_id">): string {
  return batch.name ? excerpt(batch.name, 120) : `Batch ${batch.batch_id.slice(0, 8)}…${batch.batch_id.slice(-4)}`;
}

/** Batches as rows; on a narrow screen as cards with the same fields. */
export function BatchTable({ batches, label }: { batches: Batch[]; label: string }) {
  return (
    <Table
      label={label}
      className="batches"
      columns={[
        "State",
        "Name",
        "Progress",
        number("Succeeded"),
        number("Failed"),
        number("Left"),
        "Throughput, end",
        "Accepted",
      ]}
    >
      {batches.map((batch) => (
        <BatchRow key={batch.batch_id} batch={batch} />
      ))}
    </Table>
  );
}

/** A row, rendered again when its batch has changed. */
const BatchRow = memo(function BatchRow({ batch }: { batch: Batch }) {
  const { counts } = batch;
  const finished = batch.status === "finished";
  const labels = Object.entries(batch.labels ?? {});
  return (
    <tr>
      <td data-label="State">
        <State name={batchState(batch)} />
      </td>
      <td data-label="Name">
        <div>
          <Link href={`/batches/${batch.batch_id}`} className="main-link" data-row="">
            {nameOfBatch(batch)}
          </Link>
          <span className="sub">
            {batch.workload}
            {batch.priority !== "normal" && ` · ${batch.priority}`}
            {batch.round > 1 && ` · round ${batch.round}`}
            {labels.slice(0, 3).map(([key, value]) => ` · ${excerpt(`${key}=${value}`, 40)}`)}
          </span>
        </div>
      </td>
      <td data-label="Progress">
        <div className="progress-cell">
          <Progress counts={counts} finished={finished} />
          <span className="sub">
            <span>{percentOf(counts, finished) ?? "growing"}</span>
            <span>{counts.total != null && `${short(counts.total)} ${counts.total === 1 ? "item" : "items"}`}</span>
          </span>
        </div>
      </td>
      <td data-label="Succeeded" className="number">
        {short(counts.succeeded ?? 0)}
      </td>
      <td data-label="Failed" className="number">
        {counts.failed ? short(counts.failed) : <span className="quiet">0</span>}
      </td>
      <td data-label="Left" className="number">
        {counts.remaining ? short(counts.remaining) : <span className="quiet">0</span>}
      </td>
      <td data-label="Throughput">
        <div>
          <Throughput batch={batch} />
        </div>
      </td>
      <td data-label="Accepted">
        <Time at={batch.accepted_at} />
      </td>
    </tr>
  );
});

function Throughput({ batch }: { batch: Batch }) {
  const zone = useStore(timeZone);
  const end = useTextOfNow((now) => clockTime(now + (batch.eta_s ?? 0) * 1000, now, zone));
  if (batch.status === "finished") {
    if (!batch.finished_at) return null;
    const took = (Date.parse(batch.finished_at) - Date.parse(batch.accepted_at)) / 1000;
    return <span className="quiet nowrap">took {duration(took)}</span>;
  }
  if (batch.status === "paused") return <span className="quiet">paused</span>;
  if (batch.waiting) return <span className="quiet">{excerpt(batch.waiting.code.replaceAll("_", " "), 40)}</span>;
  return (
    <>
      {batch.items_per_s ? (
        <span className="nowrap">{perSecond(batch.items_per_s)}</span>
      ) : (
        <span className="quiet">starting</span>
      )}
      {batch.eta_s != null && (
        <span className="sub nowrap" title={`at ${end}`}>
          about {roughly(batch.eta_s)} left
        </span>
      )}
    </>
  );
}
