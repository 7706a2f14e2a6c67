import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { batchKey } from "../../api/batch";
import { api, bodyOf, idempotencyKey, type Schemas } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage } from "../../ui/panel";
import { say } from "../../ui/toast";

type Batch = Schemas["BatchState"];
type Change = Schemas["ChangeRequest"];

interface Form {
  priority: string;
  rate: string;
  concurrency: string;
  weight: string;
  deadline: string;
}

/** Changes of a running batch. Only what differs from the present is sent; an emptied field removes the term. */
export function ChangePanel({ batch, onClose }: { batch: Batch; onClose: () => void }) {
  const client = useQueryClient();
  // The batch goes on meanwhile: only what the reader changes may be sent.
  const [before] = useState(() => formOf(batch));
  const [form, setForm] = useState(before);
  const change = changeOf(before, form);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.PATCH("/api/v1/batches/{batch_id}", {
          params: { path: { batch_id: batch.batch_id }, header: { "Idempotency-Key": idempotencyKey() } },
          body: change as Change,
        }),
      ),
    onSuccess: () => {
      say("Changed: items that have not started follow it at once");
      client.invalidateQueries({ queryKey: batchKey(batch.batch_id) });
      onClose();
    },
  });
  const field = (name: keyof Form) => ({
    id: `change-${name}`,
    value: form[name],
    onChange: (event: { target: { value: string } }) => setForm({ ...form, [name]: event.target.value }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.mutate();
  };
  return (
    <Dialog title="Change this batch" onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <div className="grid-form">
          <Field id="change-priority" label="Priority">
            <select {...field("priority")}>
              <option value="immediate">immediate</option>
              <option value="normal">normal</option>
              <option value="low">low</option>
            </select>
          </Field>
          <Field id="change-rate" label="Items a second, at most" hint="Empty: no limit of its own">
            <input type="number" min="0.000001" step="any" {...field("rate")} />
          </Field>
          <Field id="change-concurrency" label="Items at once, at most" hint="Empty: no limit of its own">
            <input type="number" min="1" step="1" {...field("concurrency")} />
          </Field>
          <Field id="change-weight" label="Weight" hint="Share among your batches; 1 if empty">
            <input type="number" min="1" max="100" step="1" {...field("weight")} />
          </Field>
          <Field id="change-deadline" label="Deadline" hint="In your time zone. Items left then expire">
            <input type="datetime-local" {...field("deadline")} />
          </Field>
        </div>
        {act.error && <ErrorMessage error={act.error} />}
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button primary" disabled={change === null || act.isPending}>
            Change
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function formOf(batch: Batch): Form {
  const terms = batch.terms ?? {};
  const text = (value: number | null | undefined) => (value == null ? "" : String(value));
  return {
    priority: batch.priority,
    rate: text(terms.rate?.per_second),
    concurrency: text(terms.concurrency),
    weight: text(terms.weight),
    deadline: terms.deadline ? localInput(terms.deadline) : "",
  };
}

function changeOf(before: Form, after: Form): Partial<Change> | null {
  const clear: string[] = [];
  const set: Record<string, unknown> = {};
  for (const name of Object.keys(after) as (keyof Form)[]) {
    if (after[name] === before[name]) continue;
    if (after[name] === "") clear.push(name);
    else if (name === "priority") set.priority = after.priority;
    else if (name === "rate") set.rate = { per_second: Number(after.rate) };
    else if (name === "deadline") set.deadline = new Date(after.deadline).toISOString();
    else set[name] = Number(after[name]);
  }
  if (clear.length === 0 && Object.keys(set).length === 0) return null;
  return { ...set, ...(clear.length ? { clear: clear as Change["clear"] } : {}) } as Partial<Change>;
}

function localInput(at: string): string {
  const time = new Date(at);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
