import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage, Loaded } from "../../ui/panel";
import { whole } from "../../ui/text";
import { say } from "../../ui/toast";
import { LIMITS, type LimitName } from "./names";

type View = Schemas["LimitsView"];

/** Sets limits of an owner, for operators. An emptied field takes a limit back, so that the default holds. */
export function LimitsDialog({ owner, onClose }: { owner: string | null; onClose: () => void }) {
  const [name, setName] = useState(owner ?? "");
  const [chosen, setChosen] = useState(owner);
  const query = useQuery({
    queryKey: ["owners-limits", chosen],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/owners/{name}/limits", { params: { path: { name: chosen ?? "" } }, signal })),
    enabled: chosen !== null,
    gcTime: 0, // the form begins with what holds now
  });
  return (
    <Dialog title={chosen === null ? "Limits of an owner" : `Limits of ${chosen}`} onClose={onClose}>
      {chosen === null ? (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) setChosen(name);
          }}
        >
          <Field id="limits-owner" label="Owner" hint="Letters, digits, hyphens and underscores">
            <input id="limits-owner" value={name} maxLength={64} onChange={(event) => setName(event.target.value)} />
          </Field>
          <div className="dialog-foot">
            <button type="submit" className="button primary">
              Next
            </button>
          </div>
        </form>
      ) : (
        <Loaded query={query} lines={6}>
          {(view) => <LimitsForm key={view.owner} view={view} onClose={onClose} />}
        </Loaded>
      )}
    </Dialog>
  );
}

type Form = Partial<Record<LimitName, string>>;

function LimitsForm({ view, onClose }: { view: View; onClose: () => void }) {
  const client = useQueryClient();
  const [before] = useState<Form>(() =>
    Object.fromEntries(LIMITS.map(([name]) => [name, String((view.set as Record<string, unknown>)[name] ?? "")])),
  );
  const [form, setForm] = useState(before);
  const changed = LIMITS.filter(([name]) => form[name] !== before[name]).map(([name]) => name);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.PATCH("/api/v1/owners/{name}/limits", {
          params: { path: { name: view.owner } },
          body: Object.fromEntries(
            changed.map((name) => [name, form[name] === "" ? null : Number(form[name])]),
          ) as unknown as Schemas["LimitsRequest"],
        }),
      ),
    onSuccess: () => {
      say("Set: it holds within two seconds");
      void client.invalidateQueries({ queryKey: ["owners-limits"] });
      void client.invalidateQueries({ queryKey: ["limits"] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed.length > 0 && !act.isPending) act.mutate();
  };
  return (
    <form className="stack" onSubmit={submit}>
      <p className="note">An empty field stands for the default, which is shown in it.</p>
      <div className="grid-form">
        {LIMITS.map(([name, words]) => {
          const holds = view.limits[name];
          return (
            <Field key={name} id={`limit-${name}`} label={words}>
              <input
                id={`limit-${name}`}
                type="number"
                min={name === "weight" ? 0.01 : name === "waiting_items" ? 10_000 : 1}
                step={name === "weight" ? "any" : 1}
                placeholder={name in view.set || holds == null ? "default" : whole(holds)}
                value={form[name] ?? ""}
                onChange={(event) => setForm({ ...form, [name]: event.target.value })}
              />
            </Field>
          );
        })}
      </div>
      {act.error && <ErrorMessage error={act.error} />}
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          Close
        </button>
        <button type="submit" className="button primary" disabled={changed.length === 0 || act.isPending}>
          Set
        </button>
      </div>
    </form>
  );
}
