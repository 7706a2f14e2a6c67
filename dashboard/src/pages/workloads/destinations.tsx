import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useRates, useWorkloads } from "../../api/queries";
import { useScope } from "../../app/access";
import { useFilters } from "../../app/filters";
import { Dialog } from "../../ui/dialog";
import { Field, PageHead, ScopedButton } from "../../ui/page";
import { Empty, ErrorMessage, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { countOf, excerpt, perSecond, short } from "../../ui/text";
import { Time } from "../../ui/time";
import { say } from "../../ui/toast";

type Rate = Schemas["RateState"];

const HISTORY = 12;

/** The rate of each destination, with its cause. */
export default function Destinations() {
  const [params, change] = useFilters();
  const query = useRates(HISTORY);
  const workloads = useWorkloads();
  const workload = params.get("workload") ?? "";
  const wanted = (params.get("q") ?? "").toLowerCase();
  const [open, setOpen] = useState<Rate | null>(null);
  const set = (name: string, value: string) => change({ [name]: value }, { replace: true });
  const rates = (query.data?.rates ?? [])
    .filter((rate) => (workload === "" || rate.workload === workload) && nameOf(rate).toLowerCase().includes(wanted))
    .sort((one, other) => urgency(other) - urgency(one));
  return (
    <>
      <PageHead
        title="Destinations"
        tab="Destinations"
        lead="How fast items go to each host or account, and why not faster. A rate follows the measured capacity of its destination, within its bounds."
      />
      <search className="filters">
        <Field id="rate-search" label="Destination" wide>
          <input
            id="rate-search"
            type="search"
            data-filter=""
            placeholder="part of the name"
            value={params.get("q") ?? ""}
            onChange={(event) => set("q", event.target.value)}
          />
        </Field>
        <Field id="rate-workload" label="Workload">
          <select id="rate-workload" value={workload} onChange={(event) => set("workload", event.target.value)}>
            <option value="">any</option>
            {(workloads.data?.workloads ?? []).map((each) => (
              <option key={each.name}>{each.name}</option>
            ))}
          </select>
        </Field>
      </search>
      <Panel title="Rates" count={query.data && countOf(rates.length, "destination")}>
        <Loaded query={query} lines={6}>
          {() =>
            rates.length === 0 ? (
              <Empty title={wanted || workload ? "Nothing matches" : "No destination has had an item yet"}>
                <p>A destination appears with the first item that goes to it, and goes when it was idle for long.</p>
              </Empty>
            ) : (
              <Table
                label="Rates"
                columns={["Destination", "Circuit", number("Rate"), "Why", number("Out"), number("Waiting")]}
              >
                {rates.map((rate) => (
                  <tr key={`${rate.workload}/${rate.limit}/${rate.partition}`}>
                    <td data-label="Destination">
                      <div>
                        <button
                          type="button"
                          className="link-button main-link"
                          data-row=""
                          onClick={() => setOpen(rate)}
                        >
                          {excerpt(nameOf(rate), 120)}
                        </button>
                        <span className="sub">
                          {rate.workload}
                          {rate.limit !== "partition" && ` · limit ${excerpt(rate.limit, 60)}`}
                        </span>
                      </div>
                    </td>
                    <td data-label="Circuit">
                      <div>
                        <State name={rate.circuit === "open" ? "circuit_open" : (rate.circuit ?? "closed")} />
                        {rate.next_probe_at && (
                          <span className="sub">
                            one try <Time at={rate.next_probe_at} />
                          </span>
                        )}
                      </div>
                    </td>
                    <td data-label="Rate" className="number">
                      <div>
                        {rate.per_second == null ? "no limit" : perSecond(rate.per_second)}
                        {rate.adaptive && (
                          <span className="sub">
                            {perSecond(rate.adaptive.floor)} – {perSecond(rate.adaptive.ceiling)}
                          </span>
                        )}
                      </div>
                    </td>
                    <td data-label="Why">
                      <div>
                        {rate.reason === "no limit" ? "" : excerpt(rate.reason, 160)}
                        {rate.backoff_until && (
                          <span className="sub">
                            held back, ends <Time at={rate.backoff_until} />: {excerpt(rate.backoff_reason ?? "", 120)}
                          </span>
                        )}
                      </div>
                    </td>
                    <td data-label="Out" className="number">
                      <span>
                        {short(rate.in_flight ?? 0)}
                        {rate.concurrency != null && <span className="quiet"> of {short(rate.concurrency)}</span>}
                      </span>
                    </td>
                    <td data-label="Waiting" className="number">
                      {short(rate.waiting ?? 0)}
                    </td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
        {query.data?.truncated && <p className="message">Only the first 1,000 are shown. Choose a workload.</p>}
      </Panel>
      {open && <RateDialog rate={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function nameOf(rate: Rate): string {
  return rate.partition || `all of ${rate.workload}`;
}

function urgency(rate: Rate): number {
  return (rate.circuit === "open" ? 1e9 : 0) + (rate.waiting ?? 0) + (rate.in_flight ?? 0);
}

function RateDialog({ rate, onClose }: { rate: Rate; onClose: () => void }) {
  const client = useQueryClient();
  const operate = useScope("operate");
  const [value, setValue] = useState(rate.per_second == null ? "" : String(rate.per_second));
  const place = { limit: rate.limit, ...(rate.partition ? { partition: rate.partition } : {}) };
  const path = { workload: rate.workload };
  const act = useMutation({
    mutationFn: (what: "set" | "clear" | "close") => {
      if (what === "set") {
        const body = { ...place, rate: { per_second: Number(value) } } as Schemas["RatesRequest"];
        return bodyOf(api.PUT("/api/v1/rates/{workload}", { params: { path }, body }));
      }
      if (what === "clear") return bodyOf(api.DELETE("/api/v1/rates/{workload}", { params: { path, query: place } }));
      return bodyOf(
        api.POST("/api/v1/rates/{workload}/close", {
          params: { path, query: { limit: rate.limit, partition: rate.partition } },
        }),
      );
    },
    onSuccess: (_answer, what) => {
      say(
        what === "close"
          ? "The circuit is closed"
          : what === "clear"
            ? "The rate follows its destination again"
            : `The rate is ${value}/s`,
      );
      client.invalidateQueries({ queryKey: ["rates"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.mutate("set");
  };
  const history = rate.history ?? [];
  return (
    <Dialog title={excerpt(nameOf(rate), 80)} onClose={onClose} wide>
      <dl className="facts">
        <dt>Workload, limit</dt>
        <dd>
          {rate.workload}, {excerpt(rate.limit, 60)}
        </dd>
        <dt>Rate</dt>
        <dd>
          {rate.per_second == null ? "no limit" : perSecond(rate.per_second)}
          {rate.set_by_operator && ", set by an operator"}
        </dd>
        <dt>Why</dt>
        <dd>{excerpt(rate.reason, 400)}</dd>
        {rate.error && (
          <>
            <dt>Last error</dt>
            <dd>
              <code>{excerpt(rate.error.code, 80)}</code> {excerpt(rate.error.message ?? "", 300)}
            </dd>
          </>
        )}
        {rate.chunk_size != null && (
          <>
            <dt>Chunk size</dt>
            <dd>
              {rate.chunk_size}
              {rate.chunk_size_reason && `, because ${excerpt(rate.chunk_size_reason, 200)}`}
            </dd>
          </>
        )}
      </dl>
      {history.length > 0 && (
        <section aria-label="History">
          <h3>History</h3>
          <div className="table-wrap">
            <table>
              <tbody>
                {history.map((entry) => (
                  <tr key={`${entry.at}${entry.reason}`}>
                    <td>
                      <Time at={entry.at} />
                    </td>
                    <td className="number">
                      {entry.before == null ? "—" : perSecond(entry.before)} →{" "}
                      {entry.after == null ? "no limit" : perSecond(entry.after)}
                    </td>
                    <td>{excerpt(entry.reason, 200)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
      <form className="stack" onSubmit={submit}>
        <Field
          id="rate-value"
          label="Items a second"
          hint={operate.allowed ? "It holds until it is taken back." : operate.why}
        >
          <input
            id="rate-value"
            type="number"
            min="0.000001"
            step="any"
            value={value}
            disabled={!operate.allowed}
            onChange={(event) => setValue(event.target.value)}
          />
        </Field>
        {act.error && <ErrorMessage error={act.error} />}
        <div className="dialog-foot">
          {rate.circuit !== "closed" && rate.circuit !== undefined && (
            <ScopedButton {...operate} onClick={() => act.mutate("close")}>
              Close the circuit
            </ScopedButton>
          )}
          {rate.set_by_operator && (
            <ScopedButton {...operate} onClick={() => act.mutate("clear")}>
              Take back
            </ScopedButton>
          )}
          <button type="submit" className="button primary" disabled={!operate.allowed || !(Number(value) > 0)}>
            Set the rate
          </button>
        </div>
      </form>
    </Dialog>
  );
}
