import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useLocation, useParams } from "wouter";
import { api, bodyOf, idempotencyKey, type Schemas } from "../../api/client";
import { useScope } from "../../app/access";
import { SchemaForm } from "../../schema/form";
import { type Draft, fieldsOf, type JsonSchema, objectOf } from "../../schema/reader";
import { Json } from "../../ui/code";
import { Field, PageHead, ScopedButton } from "../../ui/page";
import { ErrorMessage, Loaded, Panel } from "../../ui/panel";
import { excerpt } from "../../ui/text";
import { Time } from "../../ui/time";
import { say } from "../../ui/toast";
import { TemplateDialog } from "./template-dialog";

type Template = Schemas["TemplateDetail"];

export default function TemplatePage() {
  const { name = "" } = useParams<{ name: string }>();
  const path = { template: name };
  const [open, setOpen] = useState(false);
  const query = useQuery({
    queryKey: ["template", name],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/templates/{template}", { params: { path }, signal })),
  });
  const edit = useScope(query.data?.shared ? "operate" : "schedules:write");
  const versions = useQuery({
    queryKey: ["template-versions", name],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/templates/{template}/versions", { params: { path }, signal })),
  });
  return (
    <>
      <PageHead
        title={name}
        tab={name}
        back={["/templates", "Templates"]}
        lead={query.data && excerpt(query.data.description, 300)}
      >
        {query.data && (
          <ScopedButton {...edit} onClick={() => setOpen(true)}>
            Edit…
          </ScopedButton>
        )}
      </PageHead>
      {open && query.data && (
        <TemplateDialog template={query.data} onClose={() => setOpen(false)} onSaved={() => setOpen(false)} />
      )}
      <div className="columns">
        <div className="stack">
          <Loaded query={query} lines={6}>
            {(template) => <SubmitTemplate template={template} />}
          </Loaded>
          <Panel title="Versions">
            <Loaded query={versions}>
              {(data) => (
                <ul className="needs">
                  {data.versions.map((each) => (
                    <li key={each.version}>
                      <b>version {each.version}</b>
                      <span className="text note">{excerpt(each.description, 160)}</span>
                      <span className="note">
                        by {excerpt(each.created_by, 60)}, <Time at={each.created_at} />
                      </span>
                    </li>
                  ))}
                </ul>
              )}
            </Loaded>
          </Panel>
        </div>
        <div className="stack">
          <Panel title="The batch it makes">
            <Loaded query={query}>
              {(template) => (
                <div className="panel-body stack">
                  <Json value={template.body} label="batch" />
                  {Object.keys(template.fill).length > 0 && (
                    <>
                      <h3>Places that parameters fill</h3>
                      <dl className="facts">
                        {Object.entries(template.fill).map(([pointer, parameter]) => (
                          <div key={pointer} style={{ display: "contents" }}>
                            <dt>
                              <code>{excerpt(pointer, 120)}</code>
                            </dt>
                            <dd>{excerpt(String(parameter), 80)}</dd>
                          </div>
                        ))}
                      </dl>
                    </>
                  )}
                </div>
              )}
            </Loaded>
          </Panel>
        </div>
      </div>
    </>
  );
}

/** The schema of the form: a parameter with a default may be left empty. */
function formSchemaOf(parameters: JsonSchema): JsonSchema {
  const required = (parameters.required ?? []).filter((name) => parameters.properties?.[name]?.default === undefined);
  return { type: "object", properties: {}, ...parameters, required };
}

function SubmitTemplate({ template }: { template: Template }) {
  const [, go] = useLocation();
  const write = useScope("batches:write");
  const [draft, setDraft] = useState<Draft>({});
  const [name, setName] = useState("");
  const [shown, setShown] = useState(false);
  const fields = fieldsOf(formSchemaOf(template.parameters as JsonSchema));
  const { value, wrong } = objectOf(fields, draft);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.POST("/api/v1/templates/{template}/submit", {
          params: { path: { template: template.name }, header: { "Idempotency-Key": idempotencyKey() } },
          body: { parameters: value, ...(name ? { name } : {}) } as Schemas["TemplateRun"],
        }),
      ),
    onSuccess: (accepted) => {
      say("Accepted");
      go(`/batches/${accepted.batch_id}`);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setShown(true);
    if (Object.keys(wrong).length === 0) act.mutate();
  };
  return (
    <Panel title="Submit it">
      <form className="panel-body stack" onSubmit={submit} noValidate>
        {fields.length === 0 ? (
          <p className="note">It has no parameters.</p>
        ) : (
          <SchemaForm fields={fields} draft={draft} onChange={setDraft} wrong={shown ? wrong : {}} prefix="parameter" />
        )}
        <Field id="template-name" label="Name of the batch" hint="Empty: that of the template">
          <input id="template-name" maxLength={200} value={name} onChange={(event) => setName(event.target.value)} />
        </Field>
        {act.error && <ErrorMessage error={act.error} />}
        {!write.allowed && <p className="note">{write.why}</p>}
        <div className="row">
          <button type="submit" className="button primary" disabled={!write.allowed || act.isPending}>
            Submit
          </button>
        </div>
      </form>
    </Panel>
  );
}
