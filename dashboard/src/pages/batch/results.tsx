import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { forOwner } from "../../api/acting-for";
import { type Outcome, useResults } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { api, bodyOf } from "../../api/client";
import { useFilters } from "../../app/filters";
import { Json } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Menu } from "../../ui/menu";
import { Field } from "../../ui/page";
import { Pager } from "../../ui/pager";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { duration, excerpt, visible, whole } from "../../ui/text";

import { FromItem, ItemName, OneCause } from "./item-filters";

type Batch = Schemas["BatchState"];

const PAGE = 50;
const STATUSES = ["succeeded", "failed", "duplicate", "expired", "cancelled"];

/** Outcomes of a batch in the order of its items, and the files in which they can be had. */
export function Results({ batch }: { batch: Batch }) {
  const [params, change] = useFilters();
  const [open, setOpen] = useState<Outcome | null>(null);
  const status = params.get("status") ?? "";
  const cause = params.get("cause");
  const after = params.get("after");
  const isFiltered = Boolean(status || cause || after);
  const running = batch.status !== "finished";
  const query = useResults(
    batch.batch_id,
    { status: status || undefined, cause: cause || undefined, after: Number(after ?? "-1"), limit: PAGE },
    batch.round,
    running,
  );
  const last = query.data?.outcomes.at(-1)?.item.ordinal;
  return (
    <>
      <Panel title="Results" count={running ? "known so far" : undefined} end={<Exports batch={batch} />}>
        <div className="panel-body">
          <search className="filters">
            <Field id="result-status" label="Outcome">
              <select
                id="result-status"
                value={status}
                onChange={(event) => change({ status: event.target.value, after: null })}
              >
                <option value="">any</option>
                {STATUSES.map((each) => (
                  <option key={each} value={each}>
                    {each}
                  </option>
                ))}
              </select>
            </Field>
            <FromItem id="result-from" after={after} change={change} />
            <OneCause cause={cause} change={change} />
          </search>
        </div>
        <Loaded query={query} lines={8}>
          {({ outcomes, hasMore }) =>
            outcomes.length === 0 ? (
              <Empty title={isFiltered ? "No outcome matches" : "No item has ended yet"}>
                {isFiltered && (
                  <button
                    type="button"
                    className="button"
                    onClick={() => change({ status: null, cause: null, after: null })}
                  >
                    Show all
                  </button>
                )}
              </Empty>
            ) : (
              <>
                <Table
                  label="Results"
                  columns={["Item", "Outcome", "Result or error", number("Attempts"), number("Took")]}
                >
                  {outcomes.map((outcome) => (
                    <Row key={outcome.item.ordinal} outcome={outcome} onOpen={() => setOpen(outcome)} />
                  ))}
                </Table>
                <Pager
                  start={["First", after === null ? null : () => change({ after: null })]}
                  on={["Next", hasMore && last !== undefined ? () => change({ after: String(last) }) : null]}
                  note={running && "Items that have not ended are left out."}
                />
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
        <ItemName item={item} onOpen={onOpen} />
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
    <Menu
      className="button small"
      button={
        <>
          <Icon name="download" size={14} />
          Export
        </>
      }
    >
      {(close) =>
        formats.map(([format, name]) => (
          <a
            key={format}
            href={forOwner(`/api/v1/batches/${batch.batch_id}/results?format=${encodeURIComponent(format)}`)}
            download=""
            onClick={close}
          >
            {excerpt(name, 40)}
          </a>
        ))
      }
    </Menu>
  );
}
