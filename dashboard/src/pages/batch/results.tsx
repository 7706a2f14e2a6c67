import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "wouter";
import { forOwner } from "../../api/acting-for";
import { type Outcome, useResults } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { api, bodyOf } from "../../api/client";
import { useKeys } from "../../app/keys";
import { Json } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Field } from "../../ui/page";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { duration, excerpt, visible, whole } from "../../ui/text";

type Batch = Schemas["BatchState"];

const PAGE = 50;
const STATUSES = ["succeeded", "failed", "duplicate", "expired", "cancelled"];

/** Outcomes of a batch in the order of its items, and the files in which they can be had. */
export function Results({ batch }: { batch: Batch }) {
  const [params, setParams] = useSearchParams();
  const [open, setOpen] = useState<Outcome | null>(null);
  const status = params.get("status") ?? "";
  const cause = params.get("cause") ?? "";
  const after = Number(params.get("after") ?? "-1");
  const running = batch.status !== "finished";
  const query = useResults(
    batch.batch_id,
    { status: status || undefined, cause: cause || undefined, after, limit: PAGE },
    batch.round,
    running,
  );
  const set = (changes: Record<string, string | null>) =>
    setParams((now) => {
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") now.delete(name);
        else now.set(name, value);
      }
      return now;
    });
  const last = query.data?.outcomes.at(-1)?.item.ordinal;
  const next = () => last !== undefined && query.data?.hasMore && set({ after: String(last) });
  useKeys({ "}": next });
  return (
    <>
      <Panel title="Results" count={running ? "known so far" : undefined} end={<Exports batch={batch} />}>
        <div className="panel-body">
          <search className="filters">
            <Field id="result-status" label="Outcome">
              <select
                id="result-status"
                value={status}
                onChange={(event) => set({ status: event.target.value, after: null })}
              >
                <option value="">any</option>
                {STATUSES.map((each) => (
                  <option key={each} value={each}>
                    {each}
                  </option>
                ))}
              </select>
            </Field>
            <Field id="result-from" label="From item">
              <input
                id="result-from"
                type="number"
                min="0"
                data-filter=""
                placeholder="0"
                key={after}
                defaultValue={after >= 0 ? after + 1 : ""}
                onKeyDown={(event) => {
                  if (event.key === "Enter") {
                    const from = Number(event.currentTarget.value);
                    set({ after: from > 0 ? String(from - 1) : null });
                  }
                }}
              />
            </Field>
            {cause && (
              <button type="button" className="button small" onClick={() => set({ cause: null, after: null })}>
                only one cause
                <Icon name="close" size={13} />
              </button>
            )}
          </search>
        </div>
        <Loaded query={query} lines={8}>
          {({ outcomes, hasMore }) =>
            outcomes.length === 0 ? (
              <Empty title={status || cause || after >= 0 ? "No outcome matches" : "No item has ended yet"}>
                {(status || cause || after >= 0) && (
                  <button
                    type="button"
                    className="button"
                    onClick={() => set({ status: null, cause: null, after: null })}
                  >
                    Show all
                  </button>
                )}
              </Empty>
            ) : (
              <>
                <div className="table-wrap">
                  <table className="cards" aria-label="Results">
                    <thead>
                      <tr>
                        <th>Item</th>
                        <th>Outcome</th>
                        <th>Result or error</th>
                        <th className="number">Attempts</th>
                        <th className="number">Took</th>
                      </tr>
                    </thead>
                    <tbody>
                      {outcomes.map((outcome) => (
                        <Row key={outcome.item.ordinal} outcome={outcome} onOpen={() => setOpen(outcome)} />
                      ))}
                    </tbody>
                  </table>
                </div>
                <div className="panel-head">
                  <span className="count">{running && "Items that have not ended are left out."}</span>
                  <div className="end">
                    <button
                      type="button"
                      className="button small"
                      disabled={after < 0}
                      onClick={() => set({ after: null })}
                    >
                      First
                    </button>
                    <button type="button" className="button small" disabled={!hasMore} onClick={next}>
                      Next
                      <Icon name="next" size={13} />
                    </button>
                  </div>
                </div>
              </>
            )
          }
        </Loaded>
      </Panel>
      {open && <OutcomeDialog outcome={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function Row({ outcome, onOpen }: { outcome: Outcome; onOpen: () => void }) {
  const { item } = outcome;
  return (
    <tr>
      <td data-label="Item">
        <div>
          <button
            type="button"
            className="link-button"
            data-row=""
            onClick={onOpen}
            aria-label={`Item ${item.ordinal}`}
          >
            #{item.ordinal}
          </button>
          {item.custom_id && <span className="sub">{excerpt(item.custom_id, 128)}</span>}
        </div>
      </td>
      <td data-label="Outcome">
        <State name={item.status} />
      </td>
      <td data-label="Result">
        <div>
          {item.error ? (
            <>
              <code>{excerpt(item.error.code, 80)}</code>
              <span className="sub">{excerpt(item.error.message ?? "", 220)}</span>
            </>
          ) : item.duplicate_of != null ? (
            <span className="quiet">as item #{item.duplicate_of}</span>
          ) : (
            <code className="quiet">{excerpt(JSON.stringify(item.result) ?? "", 180)}</code>
          )}
        </div>
      </td>
      <td data-label="Attempts" className="number">
        {item.attempts ?? ""}
      </td>
      <td data-label="Took" className="number">
        {item.cached ? "known" : item.elapsed_ms == null ? "" : duration(item.elapsed_ms / 1000)}
      </td>
    </tr>
  );
}

function OutcomeDialog({ outcome, onClose }: { outcome: Outcome; onClose: () => void }) {
  const { item, raw } = outcome;
  return (
    <Dialog title={`Item ${whole(item.ordinal)}`} onClose={onClose} wide>
      <dl className="facts">
        <dt>Outcome</dt>
        <dd>
          <State name={item.status} />
        </dd>
        {item.custom_id && (
          <>
            <dt>Custom id</dt>
            <dd>{visible(item.custom_id)}</dd>
          </>
        )}
        {item.attempts != null && (
          <>
            <dt>Attempts</dt>
            <dd>
              {item.attempts}, in round {item.round ?? 1}
            </dd>
          </>
        )}
        {item.error && (
          <>
            <dt>Error</dt>
            <dd>
              <code>{visible(item.error.code)}</code> {visible(item.error.message ?? "")}
            </dd>
          </>
        )}
      </dl>
      <Json raw={raw} label="outcome" />
    </Dialog>
  );
}

/** The first results of a batch, beside its failures. */
export function FirstResults({ batch }: { batch: Batch }) {
  const running = batch.status !== "finished";
  const [open, setOpen] = useState<Outcome | null>(null);
  const query = useResults(batch.batch_id, { status: "succeeded", after: -1, limit: 6 }, batch.round, running);
  return (
    <Panel
      title="First results"
      end={
        <>
          <Link href={`/batches/${batch.batch_id}/results`} className="button small">
            All
          </Link>
          <Exports batch={batch} />
        </>
      }
    >
      <Loaded query={query}>
        {({ outcomes }) =>
          outcomes.length === 0 ? (
            <Empty title={running ? "No item has succeeded so far" : "No item succeeded"} />
          ) : (
            <ul className="needs">
              {outcomes.map((outcome) => (
                <li key={outcome.item.ordinal}>
                  <button type="button" className="link-button" data-row="" onClick={() => setOpen(outcome)}>
                    #{outcome.item.ordinal}
                  </button>
                  <code className="text quiet">{excerpt(JSON.stringify(outcome.item.result) ?? "", 110)}</code>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {open && <OutcomeDialog outcome={open} onClose={() => setOpen(null)} />}
    </Panel>
  );
}

const PLAIN: [format: string, name: string][] = [
  ["json", "JSON"],
  ["ndjson", "NDJSON"],
  ["csv", "CSV"],
];

function Exports({ batch }: { batch: Batch }) {
  const workload = useQuery({
    queryKey: ["workload", batch.workload],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/workloads/{name}", { params: { path: { name: batch.workload } }, signal })),
    staleTime: 60_000,
  });
  const own = Object.keys(workload.data?.exports ?? {});
  const formats: [string, string][] = [...PLAIN, ...own.map((name): [string, string] => [name, name.toUpperCase()])];
  return (
    <details className="menu">
      <summary className="button small">
        <Icon name="download" size={14} />
        Export
      </summary>
      <div className="menu-list">
        {formats.map(([format, name]) => (
          <a
            key={format}
            href={forOwner(`/api/v1/batches/${batch.batch_id}/results?format=${encodeURIComponent(format)}`)}
            download=""
          >
            {excerpt(name, 40)}
          </a>
        ))}
      </div>
    </details>
  );
}
