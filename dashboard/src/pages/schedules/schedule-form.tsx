import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage, Skeleton } from "../../ui/panel";
import { ExactTime } from "../../ui/time";
import { say } from "../../ui/toast";

type Form = Schemas["ScheduleForm"];
type View = Schemas["ScheduleView"];

const TIMES = 10;
const PAUSE_MS = 350;

/** A new schedule, or other times and rules for one that is there. The server says when it would run. */
export function ScheduleForm({ present, onClose }: { present?: View; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState(present?.name ?? "");
  const [cron, setCron] = useState(present?.cron ?? "0 3 * * *");
  const [zone, setZone] = useState(present?.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [template, setTemplate] = useState(present?.template ?? "");
  const [overlap, setOverlap] = useState(present?.overlap ?? "skip");
  const [parameters, setParameters] = useState(
    present && Object.keys(present.parameters ?? {}).length > 0 ? JSON.stringify(present.parameters) : "",
  );
  const templates = useQuery({
    queryKey: ["templates"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/templates", { params: { query: { limit: 200 } }, signal })),
  });
  const given = parametersOf(parameters);
  const what = present?.batch ? { batch: present.batch } : { template };
  const form = {
    ...kept(present),
    cron,
    zone,
    overlap,
    ...what,
    ...(given && Object.keys(given).length > 0 ? { parameters: given } : {}),
  } as unknown as Form;
  const isWhole = name !== "" && given !== null && (template !== "" || present?.batch != null);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(api.PUT("/api/v1/schedules/{schedule}", { params: { path: { schedule: name } }, body: form })),
    onSuccess: () => {
      say("Saved");
      for (const key of ["schedules", "schedule", "schedule-times"]) client.invalidateQueries({ queryKey: [key] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isWhole) act.mutate();
  };
  return (
    <Dialog title={present ? `Edit ${present.name}` : "New schedule"} onClose={onClose} wide>
      <form className="stack" onSubmit={submit}>
        <div className="grid-form">
          <Field id="schedule-name" label="Name">
            <input
              id="schedule-name"
              required
              pattern="[a-z][a-z0-9\-]*"
              placeholder="nightly"
              disabled={present !== undefined}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          </Field>
          {!present?.batch && (
            <Field
              id="schedule-template"
              label="Template"
              hint={templates.data?.templates.length === 0 ? "There is none yet" : undefined}
            >
              <select id="schedule-template" value={template} onChange={(event) => setTemplate(event.target.value)}>
                <option value="">choose</option>
                {(templates.data?.templates ?? []).map((each) => (
                  <option key={each.name}>{each.name}</option>
                ))}
              </select>
            </Field>
          )}
          <Field id="schedule-cron" label="Cron expression" hint="minute, hour, day, month, weekday">
            <input
              id="schedule-cron"
              className="mono"
              required
              value={cron}
              onChange={(event) => setCron(event.target.value)}
            />
          </Field>
          <Field id="schedule-zone" label="Time zone">
            <input id="schedule-zone" required value={zone} onChange={(event) => setZone(event.target.value)} />
          </Field>
          <Field id="schedule-overlap" label="While the run before goes on">
            <select
              id="schedule-overlap"
              value={overlap}
              onChange={(event) => setOverlap(event.target.value as View["overlap"])}
            >
              <option value="skip">skip the time</option>
              <option value="queue">wait for it</option>
              <option value="cancel">cancel it</option>
              <option value="allow">run beside it</option>
            </select>
          </Field>
          {!present?.batch && (
            <Field
              id="schedule-parameters"
              label="Parameters"
              hint="JSON, as the template names them"
              wrong={given === null ? "This is no JSON object." : undefined}
            >
              <input
                id="schedule-parameters"
                className="mono"
                placeholder="{}"
                value={parameters}
                onChange={(event) => setParameters(event.target.value)}
              />
            </Field>
          )}
        </div>
        <Preview cron={cron} zone={zone} form={form} isWhole={isWhole} />
        {act.error && <ErrorMessage error={act.error} />}
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button primary" disabled={!isWhole || act.isPending}>
            Save
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The fields of a schedule that an edit keeps. */
function kept(present: View | undefined): Partial<Form> {
  if (!present) return {};
  const { missed, catch_up_s, jitter_s, starts_at, ends_at, template_version } = present;
  const fields = { missed, catch_up_s, jitter_s, starts_at, ends_at, template_version };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as Partial<Form>;
}

function parametersOf(text: string): Record<string, unknown> | null {
  if (text.trim() === "") return {};
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null && !Array.isArray(found)
      ? (found as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function Preview({ cron, zone, form, isWhole }: { cron: string; zone: string; form: Form; isWhole: boolean }) {
  const [asked, setAsked] = useState({ cron, zone });
  useEffect(() => {
    const timer = window.setTimeout(() => setAsked({ cron, zone }), PAUSE_MS);
    return () => window.clearTimeout(timer);
  }, [cron, zone]);
  const query = useQuery({
    queryKey: ["schedule-preview", asked, isWhole],
    queryFn: ({ signal }) =>
      bodyOf(api.POST("/api/v1/schedule-preview", { params: { query: { count: TIMES } }, body: form, signal })),
    enabled: isWhole,
    retry: false,
  });
  if (!isWhole) return <p className="note">With a name and a template, the next times are shown here.</p>;
  if (query.error) return <ErrorMessage error={query.error} />;
  if (!query.data) return <Skeleton lines={2} />;
  return (
    <div className="field" aria-live="polite">
      <span className="label">The next {TIMES} times, as the server computes them</span>
      <ol className="grid-form" style={{ gap: "2px 14px" }}>
        {query.data.times.map((time) => (
          <li key={time.at} className="note">
            <ExactTime at={time.at} />
            {time.mark && <span className="tag"> {time.mark === "moved" ? "clock change" : "hour repeats"}</span>}
          </li>
        ))}
      </ol>
    </div>
  );
}
