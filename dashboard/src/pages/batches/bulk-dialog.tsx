import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, idempotencyKey, type Schemas } from "../../api/client";
import { Code } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage, Skeleton } from "../../ui/panel";
import { quoted } from "../../ui/shell-text";
import { batchState, State } from "../../ui/state";
import { countOf, visible, whole } from "../../ui/text";
import { nameOfBatch } from "./batch-table";
import { ACTIONS, type Action, bulkCommand } from "./bulk";

type Request = Schemas["BatchActionRequest"];
type View = Schemas["BatchActionView"];
type Preview = Schemas["BatchActionPreview"];

const SHOWN = 5;

/** One command for all batches that a filter selects: first what it would be for, then how far it is. */
export function BulkDialog({ filter, onClose }: { filter: Partial<Request["filter"]>; onClose: () => void }) {
  const client = useQueryClient();
  const [action, setAction] = useState<Action>("pause");
  const [priority, setPriority] = useState<NonNullable<Request["priority"]>>("low");
  const request = { action, filter, ...(action === "change" ? { priority } : {}) } as Request;
  const preview = useQuery({
    queryKey: ["batch-action-preview", request],
    queryFn: async ({ signal }) =>
      (await bodyOf(
        api.POST("/api/v1/batch-actions", { body: { ...request, dry_run: true }, signal }),
      )) as unknown as Preview,
    gcTime: 0,
  });
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.POST("/api/v1/batch-actions", {
          params: { header: { "Idempotency-Key": idempotencyKey() } },
          body: request,
        }),
      ) as unknown as Promise<View>,
  });
  const begun = useQuery({
    queryKey: ["batch-action", act.data?.id],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/batch-actions/{action_id}", { params: { path: { action_id: act.data?.id ?? "" } }, signal }),
      ),
    enabled: act.data !== undefined,
    refetchInterval: (query) => (query.state.data?.state === "ended" ? false : 1_000),
  });
  const close = () => {
    void client.invalidateQueries({ queryKey: ["batches"] });
    onClose();
  };
  const [, word = "", effect = ""] = ACTIONS.find(([name]) => name === action) ?? [];
  const count = preview.data?.count ?? 0;
  if (act.data) {
    return (
      <Dialog title={`${word}: ${countOf(count, "batch", "batches")}`} onClose={close}>
        <ActionProgress view={begun.data ?? act.data} expected={count} />
        {begun.error && <ErrorMessage error={begun.error} />}
        <div className="dialog-foot">
          <button type="button" className="button primary" onClick={close}>
            {(begun.data ?? act.data).state === "ended" ? "Done" : "Close: it goes on"}
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Act on all batches that match" onClose={onClose}>
      <Field id="bulk-action" label="Action" hint={effect}>
        <select id="bulk-action" value={action} onChange={(event) => setAction(event.target.value as Action)}>
          {ACTIONS.map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      {action === "change" && (
        <Field id="bulk-priority" label="New priority">
          <select
            id="bulk-priority"
            value={priority}
            onChange={(event) => setPriority(event.target.value as typeof priority)}
          >
            <option value="immediate">immediate</option>
            <option value="normal">normal</option>
            <option value="low">low</option>
          </select>
        </Field>
      )}
      <div aria-live="polite">
        {preview.error ? (
          <ErrorMessage error={preview.error} />
        ) : preview.data ? (
          <PreviewOf preview={preview.data} filter={filter} />
        ) : (
          <Skeleton lines={3} />
        )}
      </div>
      <details>
        <summary className="note">The same in a shell</summary>
        <Code text={bulkCommand(action, filter, priority, quoted)} label="command" />
      </details>
      {act.error && <ErrorMessage error={act.error} />}
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          Keep as they are
        </button>
        <button
          type="button"
          className={action === "cancel" ? "button primary danger" : "button primary"}
          disabled={count === 0 || act.isPending || preview.isFetching}
          onClick={() => act.mutate()}
        >
          {word} {count > 0 && countOf(count, "batch", "batches")}
          {preview.data?.more && " or more"}
        </button>
      </div>
    </Dialog>
  );
}

function PreviewOf({ preview, filter }: { preview: Preview; filter: Partial<Request["filter"]> }) {
  if (preview.count === 0) {
    return <p>{filter.state ? "No batch matches now." : "No batch that matches is in a state that it suits."}</p>;
  }
  return (
    <>
      <p>
        It would be for{" "}
        <b>
          {preview.more && "more than "}
          {countOf(preview.count, "batch", "batches")}
        </b>
        . Nothing is changed yet.
      </p>
      <ul className="needs">
        {preview.samples.slice(0, SHOWN).map((batch) => (
          <li key={batch.batch_id}>
            <State name={batchState(batch)} />
            <span className="text">{nameOfBatch(batch)}</span>
          </li>
        ))}
        {preview.count > SHOWN && <li className="note">… and {whole(preview.count - SHOWN)} more</li>}
      </ul>
    </>
  );
}

function ActionProgress({ view, expected }: { view: View; expected: number }) {
  const handled = view.done + view.refused;
  return (
    <div className="stack" role="status">
      <progress className="bulk-progress" max={Math.max(expected, handled, 1)} value={handled} aria-label="Batches" />
      <p>
        {view.state === "ended" ? "Ended: " : "At work: "}
        <b>{whole(view.done)}</b> took it
        {view.refused > 0 && (
          <>
            , <b>{whole(view.refused)}</b> refused it
          </>
        )}
        .
      </p>
      {view.error && <p className="note">{visible(view.error)}</p>}
    </div>
  );
}
