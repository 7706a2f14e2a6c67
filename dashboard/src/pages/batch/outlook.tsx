import type { Schemas } from "../../api/client";
import { timeZone } from "../../app/preferences";
import { useStore } from "../../app/store";
import { Icon } from "../../ui/icon";
import { clockTime, duration, perSecond, roughly, visible } from "../../ui/text";
import { Time, useNow } from "../../ui/time";
import { Words } from "../../ui/words";

type Batch = Schemas["BatchState"];

/** The end of a batch, as far as it is known. */
export function Outlook({ batch }: { batch: Batch }) {
  const now = useNow();
  const zone = useStore(timeZone);
  if (batch.status === "finished") {
    const took = batch.finished_at ? Date.parse(batch.finished_at) - Date.parse(batch.accepted_at) : null;
    return (
      <span className="quiet">
        ended <Time at={batch.finished_at} />
        {took !== null && `, after ${duration(took / 1000)}`}
      </span>
    );
  }
  if (batch.status === "paused") return <span className="quiet">paused: no estimate</span>;
  if (batch.counts.remaining === 0 && batch.status === "running") return <span>making the summary</span>;
  if (batch.waiting) return <span className="quiet">waiting: no estimate</span>;
  const deadline = batch.terms?.deadline ? Date.parse(batch.terms.deadline) : null;
  const { p10, p50, p90, reason } = batch.forecast ?? {};
  const latest = p90 ? Date.parse(p90) : null;
  const clock = (at: string) => clockTime(Date.parse(at), now, zone);
  const end = latest ?? (batch.eta_s == null ? null : now + batch.eta_s * 1000);
  return (
    <span className="row">
      <b>{batch.items_per_s ? perSecond(batch.items_per_s) : "starting"}</b>
      {p10 && p50 && p90 && (
        <span title={reason ? visible(reason.detail) : undefined}>{interval(clock(p10), clock(p50), clock(p90))}</span>
      )}
      {latest === null && end !== null && batch.eta_s != null && (
        <span>
          ends about {clockTime(end, now, zone)}, in {roughly(batch.eta_s)}
        </span>
      )}
      {deadline !== null && (
        <span className={end !== null && end > deadline ? "state warn" : "quiet"}>
          deadline {clockTime(deadline, now, zone)}
          {end !== null && (end > deadline ? ": it may be missed" : ": fits")}
        </span>
      )}
    </span>
  );
}

/** The forecast end in words; an interval within one minute is one time. */
function interval(first: string, likely: string, last: string): string {
  return first === last ? `ends about ${likely}` : `ends ${first} to ${last}, likely ${likely}`;
}

const STOPPED: Record<string, string> = {
  deadline: "Its deadline passed. Items that had not ended by then are expired.",
  failure_threshold: "More items failed than its failure threshold allows.",
  never_sealed: "It stayed open for too long and was never sealed.",
  internal_error: "Batchyard met a defect while it worked on this batch. The log of the aggregator names it.",
};

/** A callout on a batch that waits or was stopped. */
export function Notice({ batch }: { batch: Batch }) {
  if (batch.waiting && batch.status !== "finished") {
    return (
      <div className="callout warn" role="note">
        <Icon name="waiting" />
        <span>
          <b>Why nothing runs.</b> <Words text={batch.waiting.detail} length={1_000} />
          {batch.waiting.until && (
            <>
              {" "}
              It goes on <Time at={batch.waiting.until} />.
            </>
          )}
        </span>
      </div>
    );
  }
  if (batch.stop_reason) {
    return (
      <div className="callout bad" role="note">
        <Icon name="warning" />
        <span>
          <b>The batch was stopped.</b> {STOPPED[batch.stop_reason] ?? batch.stop_reason}
        </span>
      </div>
    );
  }
  return null;
}
