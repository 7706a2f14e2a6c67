import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { timeZone } from "../app/preferences";
import { useStore } from "../app/store";
import { Chart } from "./chart";
import { Empty, Loaded, Panel } from "./panel";
import { duration, perSecond, stepTime } from "./text";

type Series = Schemas["Series"];

/** Charts of the items that ended, and of the time that one took. */
export function SeriesCharts({
  query,
  empty,
  end,
}: {
  query: UseQueryResult<Series, Error>;
  empty: string;
  end?: ReactNode;
}) {
  return (
    <>
      <Panel title="Throughput" end={end}>
        <Loaded query={query} lines={4}>
          {(series) => (isEmpty(series) ? <Empty title={empty} /> : <Throughput series={series} />)}
        </Loaded>
      </Panel>
      <Panel title="Time of an item">
        <Loaded query={query} lines={4}>
          {(series) => (hasDurations(series) ? <Durations series={series} /> : <Empty title="No time was measured" />)}
        </Loaded>
      </Panel>
    </>
  );
}

function isEmpty({ points }: Series): boolean {
  return points.every((point) => point.succeeded + point.failed + point.other === 0);
}

function hasDurations({ points }: Series): boolean {
  return points.some((point) => point.p50_ms != null);
}

function useTimes({ points, step_s }: Series): string[] {
  const zone = useStore(timeZone);
  return points.map((point) => stepTime(Date.parse(point.at), step_s, points.length, zone));
}

function Throughput({ series }: { series: Series }) {
  const { points } = series;
  return (
    <Chart
      label="Items that ended"
      kind="columns"
      times={useTimes(series)}
      format={(value) => (value === 0 ? "0/s" : perSecond(value))}
      series={[
        { name: "succeeded", look: "succeeded", values: points.map((point) => point.succeeded) },
        { name: "failed", look: "failed", values: points.map((point) => point.failed) },
        { name: "other", look: "other", values: points.map((point) => point.other) },
      ]}
    />
  );
}

function Durations({ series }: { series: Series }) {
  const { points } = series;
  return (
    <Chart
      label="Time of an item"
      kind="lines"
      times={useTimes(series)}
      format={(value) => duration(value / 1000)}
      series={[
        { name: "half of them within", look: "p50", values: points.map((point) => point.p50_ms ?? null) },
        { name: "95 % within", look: "p95", values: points.map((point) => point.p95_ms ?? null) },
      ]}
    />
  );
}
