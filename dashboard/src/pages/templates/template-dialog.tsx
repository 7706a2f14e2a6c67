import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, bodyOf, type Schemas } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Field } from "../../ui/page";
import { ErrorMessage } from "../../ui/panel";
import { say } from "../../ui/toast";
import { type Draft, draftOfTemplate, EMPTY, templateOf } from "./template-draft";

type Template = Schemas["TemplateDetail"];

/** Creates a template, or its next version. Versions never change, so that batches of earlier ones stay as they are. */
export function TemplateDialog({
  template,
  onClose,
  onSaved,
}: {
  template?: Template;
  onClose: () => void;
  onSaved: (name: string) => void;
}) {
  const client = useQueryClient();
  const [draft, setDraft] = useState<Draft>(() => (template ? draftOfTemplate(template) : EMPTY));
  const [shown, setShown] = useState(false);
  const { value, wrong } = templateOf(draft);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.POST("/api/v1/templates", {
          body: { ...value, ...(template?.shared ? { shared: true } : {}) } as Schemas["TemplateSave"],
        }),
      ),
    onSuccess: (saved) => {
      const isNew = saved.version !== template?.version;
      say(isNew ? `Saved as version ${saved.version}` : "The latest version has this content already");
      void client.invalidateQueries({ queryKey: ["templates"] });
      void client.invalidateQueries({ queryKey: ["template", saved.name] });
      void client.invalidateQueries({ queryKey: ["template-versions", saved.name] });
      onSaved(saved.name);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setShown(true);
    if (Object.keys(wrong).length === 0 && !act.isPending) act.mutate();
  };
  const field = (name: keyof Draft) => ({
    id: `template-${name}`,
    value: draft[name],
    "aria-invalid": shown && wrong[name] !== undefined,
    onChange: (event: { target: { value: string } }) => setDraft({ ...draft, [name]: event.target.value }),
  });
  const problem = (name: keyof Draft) => (shown ? wrong[name] : undefined);
  return (
    <Dialog title={template ? `Edit ${template.name}` : "New template"} onClose={onClose} wide>
      <form className="stack" onSubmit={submit} noValidate>
        <p className="note">
          {template
            ? `It is saved as the next version. Version ${template.version} stays as it is.`
            : "A template is a batch with places that parameters fill."}
        </p>
        {!template && (
          <Field id="template-name" label="Name" hint="Small letters, digits and hyphens" wrong={problem("name")}>
            <input {...field("name")} maxLength={63} autoComplete="off" />
          </Field>
        )}
        <Field id="template-description" label="Description">
          <input {...field("description")} maxLength={500} />
        </Field>
        <Field
          id="template-body"
          label="Batch"
          hint="Fields of a submission as JSON: workload, items, name, rate …"
          wrong={problem("body")}
        >
          <textarea {...field("body")} className="mono" rows={10} spellCheck={false} />
        </Field>
        <Field
          id="template-parameters"
          label="Parameters"
          hint="JSON Schema of an object, as JSON; empty: it has none"
          wrong={problem("parameters")}
        >
          <textarea {...field("parameters")} className="mono" rows={6} spellCheck={false} />
        </Field>
        <Field
          id="template-fill"
          label="Places that parameters fill"
          hint="JSON object: the JSON Pointer of each place in the batch, and the name of its parameter"
          wrong={problem("fill")}
        >
          <textarea {...field("fill")} className="mono" rows={4} spellCheck={false} />
        </Field>
        {act.error && <ErrorMessage error={act.error} />}
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button primary" disabled={act.isPending}>
            {template ? "Save as a new version" : "Save"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
