import { Field } from "../ui/page";
import { excerpt } from "../ui/text";
import { Words } from "../ui/words";
import { type Draft, type SchemaField, typeWords } from "./reader";

/** A form that is drawn from a schema. Fields that are left empty are not sent. */
export function SchemaForm({
  fields,
  draft,
  onChange,
  wrong,
  prefix,
}: {
  fields: SchemaField[];
  draft: Draft;
  onChange: (draft: Draft) => void;
  wrong: Record<string, string>;
  prefix: string;
}) {
  return (
    <div className="grid-form">
      {fields.map((field) => (
        <SchemaInput
          key={field.name}
          field={field}
          id={`${prefix}-${field.name}`}
          text={draft[field.name] ?? ""}
          wrong={wrong[field.name]}
          onChange={(text) => onChange({ ...draft, [field.name]: text })}
        />
      ))}
    </div>
  );
}

function SchemaInput({
  field,
  id,
  text,
  wrong,
  onChange,
}: {
  field: SchemaField;
  id: string;
  text: string;
  wrong: string | undefined;
  onChange: (text: string) => void;
}) {
  const shared = {
    id,
    value: text,
    "aria-invalid": wrong !== undefined,
    "aria-describedby": wrong === undefined ? `${id}-hint` : `${id}-wrong`,
    onChange: (event: { target: { value: string } }) => onChange(event.target.value),
  };
  const standard = field.schema.default;
  const placeholder =
    standard === undefined || standard === null || standard === ""
      ? ""
      : `${excerpt(JSON.stringify(standard), 60)} if empty`;
  return (
    <Field
      id={id}
      label={
        <>
          {excerpt(field.label, 80)}
          {field.required ? " *" : ""}
        </>
      }
      hint={<Words text={[field.schema.description, hintOf(field)].filter(Boolean).join(" · ")} length={300} />}
      wrong={wrong}
    >
      {field.kind === "choice" || field.kind === "boolean" ? (
        <select {...shared}>
          <option value="">{placeholder || "—"}</option>
          {field.kind === "boolean" ? (
            <>
              <option value="true">yes</option>
              <option value="false">no</option>
            </>
          ) : (
            field.choices.map((choice, at) => (
              <option key={String(choice)} value={String(at)}>
                {excerpt(String(choice), 80)}
              </option>
            ))
          )}
        </select>
      ) : field.kind === "json" || field.kind === "long-text" ? (
        <textarea {...shared} rows={3} placeholder={placeholder} spellCheck={false} />
      ) : (
        <input
          {...shared}
          type={field.kind === "date" ? "date" : field.kind === "date-time" ? "datetime-local" : "text"}
          inputMode={field.kind === "whole" ? "numeric" : field.kind === "number" ? "decimal" : undefined}
          placeholder={placeholder}
          autoComplete="off"
        />
      )}
    </Field>
  );
}

function hintOf(field: SchemaField): string {
  return field.kind === "choice" || field.kind === "boolean" ? "" : typeWords(field);
}
