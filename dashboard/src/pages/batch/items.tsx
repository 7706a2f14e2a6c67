import { useState } from "react";
import { useSearchParams } from "wouter";
import { type ItemState, useItem, useItems } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { Json, SameIn } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Field } from "../../ui/page";
import { Empty, ErrorMessage, Loaded, Panel, Skeleton } from "../../ui/panel";
import { curl } from "../../ui/shell-text";
import { State } from "../../ui/state";
import { duration, excerpt, visible, whole } from "../../ui/text";
import { Time } from "../../ui/time";

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
  const [params, setParams] = useSearchParams();
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
  const set = (changes: Record<string, string | null>) =>
    setParams((now) => {
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") now.delete(name);
        else now.set(name, value);
      }
      return now;
    });
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
                onChange={(event) => set({ state: event.target.value, after: null })}
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
                  event.key === "Enter" && set({ custom_id: event.currentTarget.value.trim(), after: null })
                }
              />
            </Field>
            <Field id="item-from" label="From item">
              <input
                id="item-from"
                key={`from ${after}`}
                type="number"
                min="0"
                placeholder="0"
                defaultValue={after === null ? "" : Number(after) + 1}
                onKeyDown={(event) => {
                  if (event.key !== "Enter") return;
                  const from = Number(event.currentTarget.value);
                  set({ after: from > 0 ? String(from - 1) : null });
                }}
              />
            </Field>
            {params.get("cause") && (
              <button type="button" className="button small" onClick={() => set({ cause: null, after: null })}>
                only one cause
                <Icon name="close" size={13} />
              </button>
            )}
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
                      onClick={() => set({ state: null, cause: null, custom_id: null, after: null })}
                    >
                      Show all
                    </button>
                  )}
                </Empty>
              ) : (
                <ItemTable items={items} onOpen={setOpen} />
              )}
              {(next != null || after !== null) && (
                <div className="panel-head">
                  <div className="end">
                    <button
                      type="button"
                      className="button small"
                      disabled={after === null}
                      onClick={() => set({ after: null })}
                    >
                      First
                    </button>
                    <button
                      type="button"
                      className="button small"
                      disabled={next == null}
                      onClick={() => set({ after: String(next) })}
                    >
                      Next
                      <Icon name="next" size={13} />
                    </button>
                  </div>
                </div>
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
    <div className="table-wrap">
      <table className="cards" aria-label="Items">
        <thead>
          <tr>
            <th>Item</th>
            <th>State</th>
            <th>Destination</th>
            <th>Error, next try</th>
            <th className="number">Attempts</th>
            <th className="number">Took</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.ordinal}>
              <td data-label="Item">
                <div>
                  <button
                    type="button"
                    className="link-button"
                    data-row=""
                    aria-label={`Item ${item.ordinal}`}
                    onClick={() => onOpen(item.ordinal)}
                  >
                    #{item.ordinal}
                  </button>
                  {item.custom_id && <span className="sub">{excerpt(item.custom_id, 128)}</span>}
                </div>
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
        </tbody>
      </table>
    </div>
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
