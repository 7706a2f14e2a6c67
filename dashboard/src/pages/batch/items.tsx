import { useState } from "react";
import { type ItemState, useItem, useItems } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { useFilters } from "../../app/filters";
import { Json, SameIn } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { Pager } from "../../ui/pager";
import { Empty, ErrorMessage, Loaded, Panel, Skeleton } from "../../ui/panel";
import { curl } from "../../ui/shell-text";
import { State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { duration, excerpt, visible, whole } from "../../ui/text";
import { Time } from "../../ui/time";

import { FromItem, ItemName, OneCause } from "./item-filters";

type Batch = Schemas["BatchState"];
type Item = Schemas["ItemView"];

const STATES: [ItemState, string][] = [
  ["waiting", "waiting"],
  ["running", "running"],
  ["retrying", "waiting for a retry"],
  ["succeeded", "succeeded"],
  ["failed", "failed"],
  ["duplicate", "duplicate"],
  ["expired", "expired"],
  ["cancelled", "cancelled"],
];

/** All items of a batch in their order, with what became of each so far. */
export function Items({ batch }: { batch: Batch }) {
  const [params, change] = useFilters();
  const [open, setOpen] = useState<number | null>(null);
  const running = batch.status !== "finished";
  const text = (name: string) => params.get(name) || undefined;
  const after = params.get("after");
  const query = useItems(
    batch.batch_id,
    {
      state: text("state") as Exclude<ItemState, "in_transit"> | undefined,
      cause: text("cause"),
      custom_id: text("custom_id"),
      after: after === null ? undefined : Number(after),
    },
    batch.round,
    running,
  );
  const isFiltered = ["state", "cause", "custom_id", "after"].some((name) => params.get(name));
  return (
    <>
      <Panel title="Items" busy={query.isPlaceholderData}>
        <div className="panel-body">
          <search className="filters">
            <Field id="item-state" label="State">
              <select
                id="item-state"
                value={params.get("state") ?? ""}
                onChange={(event) => change({ state: event.target.value, after: null })}
              >
                <option value="">any</option>
                {STATES.map(([state, words]) => (
                  <option key={state} value={state}>
                    {words}
                  </option>
                ))}
              </select>
            </Field>
            <Field id="item-custom" label="Custom id">
              <input
                id="item-custom"
                key={params.get("custom_id") ?? ""}
                data-filter=""
                placeholder="whole id, Enter"
                defaultValue={params.get("custom_id") ?? ""}
                onKeyDown={(event) =>
                  event.key === "Enter" && change({ custom_id: event.currentTarget.value.trim(), after: null })
                }
              />
            </Field>
            <FromItem id="item-from" after={after} change={change} />
            <OneCause cause={params.get("cause")} change={change} />
          </search>
        </div>
        <Loaded query={query} lines={8}>
          {({ items, next }) => (
            <>
              {items.length === 0 ? (
                <Empty title={next == null ? "No item matches" : "None among these; there may be more"}>
                  {isFiltered && (
                    <button
                      type="button"
                      className="button"
                      onClick={() => change({ state: null, cause: null, custom_id: null, after: null })}
                    >
                      Show all
                    </button>
                  )}
                </Empty>
              ) : (
                <ItemTable items={items} onOpen={setOpen} />
              )}
              {(next != null || after !== null) && (
                <Pager
                  start={["First", after === null ? null : () => change({ after: null })]}
                  on={["Next", next == null ? null : () => change({ after: String(next) })]}
                />
              )}
            </>
          )}
        </Loaded>
      </Panel>
      {open !== null && <ItemDialog batch={batch} ordinal={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function ItemTable({ items, onOpen }: { items: Item[]; onOpen: (ordinal: number) => void }) {
  return (
    <Table
      label="Items"
      columns={["Item", "State", "Destination", "Error, next try", number("Attempts"), number("Took")]}
    >
      {items.map((item) => (
        <tr key={item.ordinal}>
          <td data-label="Item">
            <ItemName item={item} onOpen={() => onOpen(item.ordinal)} />
          </td>
          <td data-label="State">
            <State name={item.state} />
          </td>
          <td data-label="Destination">{excerpt(item.partition ?? "", 80)}</td>
          <td data-label="Error">
            <div>
              {item.error && (
                <>
                  <code>{excerpt(item.error.code, 80)}</code>
                  <span className="sub">{excerpt(item.error.message ?? "", 200)}</span>
                </>
              )}
              {item.retry_at && (
                <span className="sub">
                  next try <Time at={item.retry_at} />
                </span>
              )}
            </div>
          </td>
          <td data-label="Attempts" className="number">
            {item.attempts || ""}
          </td>
          <td data-label="Took" className="number">
            {item.cached ? "known" : item.elapsed_ms == null ? "" : duration(item.elapsed_ms / 1000)}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function ItemDialog({ batch, ordinal, onClose }: { batch: Batch; ordinal: number; onClose: () => void }) {
  const query = useItem(batch.batch_id, ordinal, batch.status !== "finished");
  const item = query.data;
  return (
    <Dialog title={`Item ${whole(ordinal)}`} onClose={onClose} wide>
      {item === undefined ? (
        query.error ? (
          <ErrorMessage error={query.error} onRetry={() => query.refetch()} />
        ) : (
          <Skeleton />
        )
      ) : (
        <>
          <dl className="facts">
            <dt>State</dt>
            <dd className="row">
              <State name={item.state} />
              {item.since && (
                <span className="note">
                  since <Time at={item.since} />
                </span>
              )}
            </dd>
            {item.custom_id && (
              <>
                <dt>Custom id</dt>
                <dd>{visible(item.custom_id)}</dd>
              </>
            )}
            {item.partition && (
              <>
                <dt>Destination</dt>
                <dd>{visible(item.partition)}</dd>
              </>
            )}
            {!!item.attempts && (
              <>
                <dt>Attempts</dt>
                <dd>
                  {item.attempts}
                  {item.round != null && `, in round ${item.round}`}
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
            {item.failed_attempts && (
              <>
                <dt>Failed before</dt>
                <dd>
                  <ol className="stack">
                    {item.failed_attempts.map((each) => (
                      <li key={`${each.round}/${each.attempt}`}>
                        attempt {each.attempt}, <Time at={each.at} />, after {duration(each.elapsed_ms / 1000)}:{" "}
                        <code>{visible(each.error.code)}</code> {visible(each.error.message ?? "")}
                      </li>
                    ))}
                  </ol>
                </dd>
              </>
            )}
            {item.retry_at && (
              <>
                <dt>Next try</dt>
                <dd>
                  <Time at={item.retry_at} />
                </dd>
              </>
            )}
            {item.duplicate_of != null && (
              <>
                <dt>Same as</dt>
                <dd>item #{item.duplicate_of}</dd>
              </>
            )}
            {item.worker_id && (
              <>
                <dt>Worker</dt>
                <dd>
                  <code>{visible(item.worker_id)}</code>
                </dd>
              </>
            )}
          </dl>
          {item.payload !== undefined && (
            <div className="field">
              <span className="label">Payload</span>
              <Json value={item.payload} label="payload" />
            </div>
          )}
          {item.result !== undefined && item.result !== null && (
            <div className="field">
              <span className="label">Result</span>
              <Json value={item.result} label="result" />
            </div>
          )}
          <SameIn forms={[["curl", curl("GET", `/api/v1/batches/${batch.batch_id}/items/${ordinal}`)]]} />
        </>
      )}
    </Dialog>
  );
}
