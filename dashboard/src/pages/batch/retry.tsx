import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { batchKey } from "../../api/batch";
import { api, bodyOf, idempotencyKey, type Schemas } from "../../api/client";
import { Json, SameIn } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { ErrorMessage, Skeleton } from "../../ui/panel";
import { curl, quoted } from "../../ui/shell-text";
import { countOf, excerpt, whole } from "../../ui/text";
import { say } from "../../ui/toast";
import { type Operation, operationsOf, operationsOfText, type PatchRow } from "./patch";
import { PatchEditor } from "./patch-editor";

type Preview = Schemas["RetryPreview"];
type Request = Schemas["RetryRequest"];
type Status = "failed" | "expired" | "cancelled";

const STATUSES: Status[] = ["failed", "expired", "cancelled"];

/** Items to run again, with another payload if wanted. Each pause in typing asks the server what would happen. */
export function Retry({
  batch,
  groups,
  causes,
  onClose,
}: {
  batch: Schemas["BatchState"];
  groups: Schemas["FailureGroup"][];
  causes: string[];
  onClose: () => void;
}) {
  const client = useQueryClient();
  const [chosen, setChosen] = useState<string[]>(causes);
  const [statuses, setStatuses] = useState<Status[]>([]);
  const [rows, setRows] = useState<PatchRow[]>([]);
  const [raw, setRaw] = useState<string | null>(null);
  const [skip, setSkip] = useState(false);

  const patch = raw === null ? operationsOf(rows) : operationsOfText(raw);
  const request = typeof patch === "string" ? null : requestOf(chosen, statuses, patch, skip);
  const preview = useDryRun(batch.batch_id, request);
  const act = useMutation({
    mutationFn: (body: Request) =>
      bodyOf(
        api.POST("/api/v1/batches/{batch_id}/retry", {
          params: { path: { batch_id: batch.batch_id }, header: { "Idempotency-Key": idempotencyKey() } },
          body,
        }),
      ),
    onSuccess: () => {
      say(`Round ${batch.round + 1} begins`);
      client.invalidateQueries({ queryKey: batchKey(batch.batch_id) });
      client.invalidateQueries({ queryKey: ["batches"] });
      onClose();
    },
  });
  const causeGroups = groups.filter((group) => group.cause != null);
  const toggle = <T,>(list: T[], value: T) =>
    list.includes(value) ? list.filter((each) => each !== value) : [...list, value];
  const found = preview.data;
  const runs = found ? found.items - (skip ? (found.invalid ?? 0) : 0) : 0;
  const blocked = !found || runs <= 0 || ((found.invalid ?? 0) > 0 && !skip);
  return (
    <Dialog title={`Retry ${excerpt(batch.name ?? "this batch", 60)}`} onClose={onClose} wide>
      <p className="note">
        Items that did not succeed run again as round {batch.round + 1}. Results that are there stay, and rates of
        destinations hold as before.
      </p>
      {causeGroups.length > 0 && (
        <fieldset className="field">
          <legend>Causes</legend>
          <span className="hint">None chosen: all that did not succeed</span>
          {causeGroups.slice(0, 12).map((group) => (
            <label key={group.cause} className="choice">
              <input
                type="checkbox"
                checked={chosen.includes(group.cause ?? "")}
                onChange={() => setChosen(toggle(chosen, group.cause ?? ""))}
              />
              <span>
                <code>{excerpt(group.code, 60)}</code> {whole(group.count)}
                {group.partition && <span className="quiet"> at {excerpt(group.partition, 60)}</span>}
              </span>
            </label>
          ))}
        </fieldset>
      )}
      <fieldset className="row">
        <legend className="label">Only items that</legend>
        {STATUSES.map((status) => (
          <label key={status} className="choice">
            <input
              type="checkbox"
              checked={statuses.includes(status)}
              onChange={() => setStatuses(toggle(statuses, status))}
            />
            {status === "failed" ? "failed" : status === "expired" ? "expired" : "were cancelled"}
          </label>
        ))}
      </fieldset>
      <PatchEditor
        rows={rows}
        setRows={setRows}
        raw={raw}
        setRaw={setRaw}
        wrong={typeof patch === "string" ? patch : ""}
      />
      <DryRun preview={preview} skip={skip} setSkip={setSkip} hasPatch={Array.isArray(patch) && patch.length > 0} />
      {request && <SameAs batch={batch.batch_id} request={request} />}
      {act.error && <ErrorMessage error={act.error} />}
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          Close
        </button>
        <button
          type="button"
          className="button primary"
          disabled={blocked || act.isPending || preview.isOld}
          onClick={() => request && act.mutate({ ...request, dry_run: false })}
        >
          <Icon name="retry" size={14} />
          {found ? `Run ${countOf(runs, "item")} again` : "Run again"}
        </button>
      </div>
    </Dialog>
  );
}

function requestOf(causes: string[], statuses: Status[], patch: Operation[], skip: boolean): Request {
  const select = {
    ...(causes.length ? { causes } : {}),
    ...(statuses.length ? { statuses } : {}),
  } as NonNullable<Request["select"]>;
  return {
    ...(causes.length || statuses.length ? { select } : {}),
    ...(patch.length ? { patch: patch as unknown as NonNullable<Request["patch"]> } : {}),
    ...(skip ? { skip_invalid: true } : {}),
  } as Request;
}

interface DryRunState {
  data: Preview | null;
  error: unknown;
  isOld: boolean;
}

function useDryRun(id: string, request: Request | null): DryRunState {
  const [state, setState] = useState<DryRunState>({ data: null, error: null, isOld: true });
  const asked = request === null ? null : JSON.stringify({ ...request, skip_invalid: undefined });
  useEffect(() => {
    if (asked === null) return;
    const stop = new AbortController();
    setState((before) => ({ ...before, isOld: true }));
    const timer = window.setTimeout(async () => {
      try {
        const data = await bodyOf(
          api.POST("/api/v1/batches/{batch_id}/retry", {
            params: { path: { batch_id: id } },
            body: { ...(JSON.parse(asked) as Request), dry_run: true },
            signal: stop.signal,
          }),
        );
        setState({ data: data as unknown as Preview, error: null, isOld: false });
      } catch (error) {
        if (!stop.signal.aborted) setState({ data: null, error, isOld: false });
      }
    }, 350);
    return () => {
      window.clearTimeout(timer);
      stop.abort();
    };
  }, [id, asked]);
  return state;
}

function DryRun({
  preview,
  skip,
  setSkip,
  hasPatch,
}: {
  preview: DryRunState;
  skip: boolean;
  setSkip: (skip: boolean) => void;
  hasPatch: boolean;
}) {
  if (preview.error) return <ErrorMessage error={preview.error} />;
  if (preview.data === null) return <Skeleton lines={2} />;
  const { items, invalid = 0, samples = [], invalid_items: wrong = [] } = preview.data;
  return (
    <div className="stack" aria-live="polite" aria-busy={preview.isOld}>
      <div className={invalid > 0 ? "callout warn" : "callout"}>
        <Icon name={invalid > 0 ? "warning" : "information"} />
        <div className="stack">
          <span>
            <b>Tried first:</b> {items === 0 ? "no item is selected." : `${countOf(items, "item")} would run again.`}
            {invalid > 0 && ` ${countOf(invalid, "payload")} would not fit the workload's schema after the change.`}
          </span>
          {invalid > 0 && (
            <label className="choice">
              <input type="checkbox" checked={skip} onChange={(event) => setSkip(event.target.checked)} />
              Leave these out
            </label>
          )}
        </div>
      </div>
      {wrong.length > 0 && (
        <ul className="note">
          {wrong.slice(0, 5).map((each) => (
            <li key={each.ordinal}>
              #{each.ordinal}: {excerpt(each.reason, 200)}
            </li>
          ))}
        </ul>
      )}
      {hasPatch &&
        samples.slice(0, 3).map((sample) => (
          <div key={sample.ordinal} className="before-after">
            <div className="field">
              <span className="label">#{sample.ordinal} before</span>
              <Json value={sample.before} label={`payload ${sample.ordinal} before`} />
            </div>
            <div className="field">
              <span className="label">after</span>
              <Json value={sample.after} label={`payload ${sample.ordinal} after`} />
            </div>
          </div>
        ))}
    </div>
  );
}

function SameAs({ batch, request }: { batch: string; request: Request }) {
  const options = [
    ...(request.select?.causes ?? []).map((cause) => `--cause ${cause}`),
    ...(request.select?.statuses ?? []).map((status) => `--status ${status}`),
    ...(request.patch?.length ? [`--patch ${quoted(JSON.stringify(request.patch))}`] : []),
    ...(request.skip_invalid ? ["--skip-invalid"] : []),
  ];
  return (
    <details>
      <summary className="note">The same in a shell</summary>
      <div style={{ paddingTop: 8 }}>
        <SameIn
          forms={[
            ["CLI", [`batchyard retry ${batch}`, ...options].join(" ")],
            ["curl", curl("POST", `/api/v1/batches/${batch}/retry`, request)],
          ]}
        />
      </div>
    </details>
  );
}
