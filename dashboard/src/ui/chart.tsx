import { useId, useState } from "react";
import { columns, HEIGHT, lines, placeAt, roundMaximum, WIDTH } from "./chart-shape";
import { number, Table } from "./table";

export interface ChartSeries {
  name: string;
  /** The look: each one differs in pattern or stroke, too, not by its colour alone. */
  look: "succeeded" | "failed" | "other" | "p50" | "p95";
  values: (number | null)[];
}

/**
 * A chart of values at equal steps of time: columns on one another, or lines. The arrow keys move a mark through it, whose
 * values are written below it; the same values are a table.
 */
export function Chart({
  label,
  kind,
  series,
  times,
  format,
  marks = [],
}: {
  label: string;
  kind: "columns" | "lines";
  series: ChartSeries[];
  times: string[];
  format: (value: number) => string;
  /** What happened in each step of time, in words. */
  marks?: string[][];
}) {
  const id = useId();
  const [chosen, setChosen] = useState<number | null>(null);
  const [asTable, setAsTable] = useState(false);
  const count = times.length;
  const marked = chosen === null ? null : Math.min(chosen, count - 1);
  const values = series.map((each) => each.values);
  const sums = times.map((_, place) => values.reduce((sum, each) => sum + (each[place] ?? 0), 0));
  const largest =
    kind === "columns" ? Math.max(0, ...sums) : Math.max(0, ...values.flatMap((each) => each.map((v) => v ?? 0)));
  const maximum = roundMaximum(largest);
  const shown = series.filter((each) => each.look !== "other" || each.values.some((value) => (value ?? 0) > 0));
  const words = (place: number) =>
    [...shown.map((each) => `${each.name} ${text(each.values[place], format)}`), ...(marks[place] ?? [])].join(", ");
  const isMarked = marks.some((each) => each.length > 0);

  return (
    <figure className="chart" aria-label={label}>
      {asTable ? (
        <div className="chart-table">
          <Table
            label={label}
            columns={["Time", ...shown.map((each) => number(capital(each.name))), ...(isMarked ? ["Event"] : [])]}
          >
            {times.map((time, place) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the times of two steps may read the same
              <tr key={place}>
                <td data-label="Time">{time}</td>
                {shown.map((each) => (
                  <td key={each.name} className="number" data-label={capital(each.name)}>
                    {text(each.values[place], format)}
                  </td>
                ))}
                {isMarked && <td data-label="Event">{marks[place]?.join(", ")}</td>}
              </tr>
            ))}
          </Table>
        </div>
      ) : (
        <>
          <span className="chart-scale">{format(maximum)}</span>
          <div
            className="chart-plot"
            onPointerMove={(event) => {
              const box = event.currentTarget.getBoundingClientRect();
              setChosen(placeAt((event.clientX - box.left) / box.width, count));
            }}
            onPointerLeave={() => setChosen(null)}
          >
            <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
              <defs>
                <pattern id={`${id}failed`} width="8" height="4" patternUnits="userSpaceOnUse">
                  <rect className="chart-failed" width="8" height="4" />
                  <rect className="chart-gap" width="8" height="1.4" />
                </pattern>
                <pattern id={`${id}other`} width="6" height="6" patternUnits="userSpaceOnUse">
                  <rect className="chart-other" width="3" height="6" />
                </pattern>
              </defs>
              <path className="chart-grid" d={`M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}`} />
              {kind === "columns"
                ? series.map((each, place) => (
                    <path
                      key={each.look}
                      className={`chart-${each.look}`}
                      fill={each.look === "succeeded" ? undefined : `url(#${id}${each.look})`}
                      d={columns(
                        each.values.map((v) => v ?? 0),
                        below(values, place, count),
                        maximum,
                      )}
                    />
                  ))
                : series.map((each) => (
                    <path key={each.look} className={`chart-line chart-${each.look}`} d={lines(each.values, maximum)} />
                  ))}
              {marked !== null && (
                <path className="chart-mark" d={`M${((marked + 0.5) / count) * WIDTH} 0V${HEIGHT}`} />
              )}
            </svg>
            {marks.map((each, place) =>
              each.length > 0 ? (
                <i
                  // biome-ignore lint/suspicious/noArrayIndexKey: a step has no other name than its place
                  key={place}
                  className="chart-event"
                  style={{ left: `${((place + 0.5) / count) * 100}%` }}
                  title={each.join(", ")}
                />
              ) : null,
            )}
            <input
              type="range"
              min={0}
              max={count - 1}
              value={marked ?? count - 1}
              aria-label={`${label}: time`}
              aria-valuetext={`${times[marked ?? count - 1]}: ${words(marked ?? count - 1)}`}
              onFocus={(event) => event.currentTarget.matches(":focus-visible") && setChosen(marked ?? count - 1)}
              onBlur={() => setChosen(null)}
              onChange={(event) => setChosen(Number(event.currentTarget.value))}
            />
          </div>
          <div className="chart-times">
            <span>{times[0]}</span>
            <span>{times[count - 1]}</span>
          </div>
        </>
      )}
      <figcaption className="between">
        <ul className="legend">
          {shown.map((each) => (
            <li key={each.look}>
              <i className={`chart-key chart-key-${each.look}`} />
              <span>
                {each.name}
                {marked !== null && !asTable && <b> {text(each.values[marked], format)}</b>}
              </span>
            </li>
          ))}
          {isMarked && (
            <li>
              <i className="chart-key-event" />
              <span>event</span>
            </li>
          )}
        </ul>
        <span className="row">
          {marked !== null && !asTable && (
            <span className="note">{[times[marked], ...(marks[marked] ?? [])].join(" · ")}</span>
          )}
          <button type="button" className="button small quiet" onClick={() => setAsTable(!asTable)}>
            {asTable ? "As chart" : "As table"}
          </button>
        </span>
      </figcaption>
    </figure>
  );
}

function text(value: number | null | undefined, format: (value: number) => string): string {
  return value == null ? "—" : format(value);
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function below(values: (number | null)[][], until: number, count: number): number[] {
  return Array.from({ length: count }, (_, place) =>
    values.slice(0, until).reduce((sum, each) => sum + (each[place] ?? 0), 0),
  );
}
