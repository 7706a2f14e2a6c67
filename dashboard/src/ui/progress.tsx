import type { Schemas } from "../api/client";
import { percent, whole } from "./text";

type Counts = Schemas["Counts"];

export const PARTS = ["succeeded", "duplicate", "failed", "expired", "cancelled"] as const;

export function endedOf(counts: Counts): number {
  return PARTS.reduce((sum, part) => sum + (counts[part] ?? 0), 0);
}

/** The bar of a batch. An open batch has no total: its bar shows how what has ended is divided. */
export function Progress({
  counts,
  progress,
  finished,
  large = false,
}: {
  counts: Counts;
  progress?: number | null | undefined;
  finished: boolean;
  large?: boolean;
}) {
  const ended = endedOf(counts);
  const total = counts.total ?? ended + (counts.remaining ?? 0);
  const share = (count: number) => (total > 0 ? (count / total) * 100 : 0);
  const running = finished ? 0 : Math.max(0, (progress ?? 0) * 100 - share(ended));
  return (
    <div
      className={large ? "progress large" : "progress"}
      role="progressbar"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(share(ended))}
      aria-label={`${whole(ended)} of ${counts.total == null ? "an open number of" : whole(total)} items ended`}
    >
      {PARTS.map((part) =>
        counts[part] ? <i key={part} className={`fill-${part}`} style={{ width: `${share(counts[part])}%` }} /> : null,
      )}
      {running > 0.2 && <i className="fill-running" style={{ width: `${running}%` }} />}
    </div>
  );
}

/** The share that has ended. It is not 100 % before the round has ended. */
export function percentOf(counts: Counts, finished: boolean): string | null {
  if (counts.total == null) return null;
  const ended = endedOf(counts);
  return !finished && ended >= counts.total && counts.total > 0 ? "99.9 %" : percent(ended, counts.total);
}

/** The numbers behind the bar. */
export function ProgressLegend({ counts }: { counts: Counts }) {
  const left = counts.remaining ?? 0;
  return (
    <ul className="legend">
      {PARTS.map((part) =>
        counts[part] || part === "succeeded" ? (
          <li key={part}>
            <i className={`fill-${part}`} />
            <span>
              <b>{whole(counts[part] ?? 0)}</b> {part}
              {part === "succeeded" && counts.cached ? (
                <span className="quiet"> ({whole(counts.cached)} known before)</span>
              ) : null}
            </span>
          </li>
        ) : null,
      )}
      {left > 0 && (
        <li>
          <i className="fill-left" />
          <span>
            <b>{whole(left)}</b> left
          </span>
        </li>
      )}
    </ul>
  );
}
