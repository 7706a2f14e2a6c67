import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import type { Schemas } from "../api/client";
import { timeZone } from "../app/preferences";
import { useStore } from "../app/store";
import { Chart } from "./chart";
import { marksOf } from "./chart-shape";
import { Empty, Loaded, Panel } from "./panel";
import { duration, excerpt, perSecond, stepTime } from "./text";

type Series = Schemas["Series"];

/** Something that happened at a time, in words. */
export interface ChartEvent {
  at: number;
  words: string;
}

/** Charts of the items that ended, and of the time that one took. */
export function SeriesCharts({
  query,
  empty,
  end,
  events = [],
}: {
  query: UseQueryResult<Series, Error>;
  empty: string;
  end?: ReactNode;
  events?: ChartEvent[];
}) {
  const [chosen, setChosen] = useState("");
  const destinations = query.data?.destinations ?? [];
  const destination = destinations.find((each) => each.partition === chosen);
  return (
    <>
      <Panel title="Throughput" end={end}>
        <Loaded query={query} lines={4}>
          {(series) => (isEmpty(series) ? <Empty title={empty} /> : <Throughput series={series} events={events} />)}
        </Loaded>
      </Panel>
      <Panel
        title="Time of an item"
        end={
          destinations.length > 1 && (
            <select aria-label="Destination" value={chosen} onChange={(event) => setChosen(event.target.value)}>
              <option value="">all destinations</option>
              {destinations.map((each) => (
                <option key={each.partition} value={each.partition}>
                  {excerpt(each.partition, 60)}
                </option>
              ))}
            </select>
          )
        }
      >
        <Loaded query={query} lines={4}>
          {(series) =>
            hasDurations(series) ? (
              <Durations series={series} destination={destination} events={events} />
            ) : (
              <Empty title="No time was measured" />
            )
          }
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

function marks({ points, step_s }: Series, events: ChartEvent[]): string[][] {
  return marksOf(events, Date.parse(points[0]?.at ?? ""), step_s * 1000, points.length);
}

function Throughput({ series, events }: { series: Series; events: ChartEvent[] }) {
  const { points } = series;
  return (
    <Chart
      label="Items that ended"
      kind="columns"
      times={useTimes(series)}
      marks={marks(series, events)}
      format={(value) => (value === 0 ? "0/s" : perSecond(value))}
      series={[
        { name: "succeeded", look: "succeeded", values: points.map((point) => point.succeeded) },
        { name: "failed", look: "failed", values: points.map((point) => point.failed) },
        { name: "other", look: "other", values: points.map((point) => point.other) },
      ]}
    />
  );
}

function Durations({
  series,
  destination,
  events,
}: {
  series: Series;
  destination: Schemas["DestinationSeriesView"] | undefined;
  events: ChartEvent[];
}) {
  const { points } = series;
  const times = {
    p50: destination?.p50_ms ?? points.map((point) => point.p50_ms ?? null),
    p95: destination?.p95_ms ?? points.map((point) => point.p95_ms ?? null),
  };
  return (
    <Chart
      label="Time of an item"
      kind="lines"
      times={useTimes(series)}
      marks={marks(series, events)}
      format={(value) => duration(value / 1000)}
      series={[
        { name: "half of them within", look: "p50", values: times.p50 },
        { name: "95 % within", look: "p95", values: times.p95 },
      ]}
    />
  );
}
