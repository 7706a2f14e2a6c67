/** Reads JSON Schemas of workloads. Whatever it does not know is left to a field of JSON. */

export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  anyOf?: JsonSchema[];
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  [keyword: string]: unknown;
}

export type Kind = "text" | "long-text" | "whole" | "number" | "boolean" | "choice" | "date" | "date-time" | "json";

export interface SchemaField {
  name: string;
  label: string;
  schema: JsonSchema;
  kind: Kind;
  required: boolean;
  choices: unknown[];
  canBeNull: boolean;
}

const LONG_TEXT = 500;

/** The fields of an object, the required ones first. */
export function fieldsOf(schema: JsonSchema): SchemaField[] {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]) =>
    fieldOf(name, part, schema, required.has(name)),
  );
  return fields.sort((one, other) => Number(other.required) - Number(one.required));
}

const ACRONYMS = /\b(api|bom|csv|html|http|id|ids|json|pdf|uri|url|urls|uuid|xml)\b/g;

/** The words of a name as a label: the first letter large, and acronyms as they are written. */
function labelOf(words: string): string {
  const text = words.replace(ACRONYMS, (word) => word.toUpperCase().replace(/S$/, "s"));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function fieldOf(name: string, part: JsonSchema, root: JsonSchema, required: boolean): SchemaField {
  const { schema, canBeNull } = simple(part, root);
  const words = name.replaceAll("_", " ");
  const title = part.title ?? schema.title;
  return {
    name,
    label: title && title.toLowerCase() !== words ? title : labelOf(words),
    schema: {
      ...schema,
      ...(part.description ? { description: part.description } : {}),
      ...("default" in part ? { default: part.default } : {}),
    },
    kind: kindOf(schema),
    required,
    choices: schema.enum ?? ("const" in schema ? [schema.const] : []),
    canBeNull,
  };
}

/** A schema without its reference, and without the branch that allows null. */
function simple(part: JsonSchema, root: JsonSchema): { schema: JsonSchema; canBeNull: boolean } {
  let schema = part;
  for (let depth = 0; schema.$ref !== undefined && depth < 8; depth += 1) {
    const name = schema.$ref.replace("#/$defs/", "");
    const found: JsonSchema | undefined = root.$defs?.[name];
    if (found === undefined) return { schema: {}, canBeNull: false };
    const { $ref: _, ...rest } = schema;
    schema = { ...found, ...rest };
  }
  if (schema.anyOf !== undefined) {
    const others = schema.anyOf.filter((branch) => branch.type !== "null");
    if (others.length === 1 && others.length < schema.anyOf.length && others[0]) {
      const { anyOf: _, ...rest } = schema;
      return { schema: { ...simple(others[0], root).schema, ...rest }, canBeNull: true };
    }
  }
  return { schema, canBeNull: false };
}

function kindOf(schema: JsonSchema): Kind {
  if (schema.enum?.every((each) => typeof each !== "object")) return "choice";
  if ("const" in schema && typeof schema.const !== "object") return "choice";
  if (schema.anyOf !== undefined || schema.oneOf !== undefined || schema.allOf !== undefined) return "json";
  switch (schema.type) {
    case "string":
      if (schema.format === "date") return "date";
      if (schema.format === "date-time") return "date-time";
      return (schema.maxLength ?? 0) > LONG_TEXT * 4 ? "long-text" : "text";
    case "integer":
      return "whole";
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    default:
      return "json";
  }
}

const NAMES: Record<Kind, string> = {
  text: "text",
  "long-text": "text",
  whole: "whole number",
  number: "number",
  boolean: "yes or no",
  choice: "one of",
  date: "date",
  "date-time": "time",
  json: "JSON",
};

/** The type of a field and its bounds, in words. */
export function typeWords(field: SchemaField): string {
  const { schema, kind } = field;
  if (kind === "choice") return field.choices.map((each) => String(each)).join(", ");
  const words = [
    kind === "json" && typeof schema.type === "string" ? (schema.type === "array" ? "list" : schema.type) : NAMES[kind],
  ];
  if (kind === "whole" || kind === "number") {
    if (schema.minimum !== undefined) words.push(`from ${schema.minimum}`);
    if (schema.exclusiveMinimum !== undefined) words.push(`above ${schema.exclusiveMinimum}`);
    if (schema.maximum !== undefined) words.push(`to ${schema.maximum}`);
    if (schema.exclusiveMaximum !== undefined) words.push(`below ${schema.exclusiveMaximum}`);
  }
  if (schema.maxLength !== undefined && kind === "text") words.push(`of at most ${schema.maxLength} characters`);
  return words.join(" ");
}

/** The value of a typed text for a field; `undefined` for an empty one. Throws an `Error` that says what is wrong. */
export function typedValueOf(field: SchemaField, text: string): unknown {
  if (text.trim() === "") return undefined;
  switch (field.kind) {
    case "whole":
    case "number": {
      const value = Number(text);
      if (!Number.isFinite(value) || (field.kind === "whole" && !Number.isInteger(value))) {
        throw new Error(field.kind === "whole" ? "Give a whole number." : "Give a number.");
      }
      const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field.schema;
      if (minimum !== undefined && value < minimum) throw new Error(`Give at least ${minimum}.`);
      if (maximum !== undefined && value > maximum) throw new Error(`Give at most ${maximum}.`);
      if (exclusiveMinimum !== undefined && value <= exclusiveMinimum)
        throw new Error(`Give more than ${exclusiveMinimum}.`);
      if (exclusiveMaximum !== undefined && value >= exclusiveMaximum)
        throw new Error(`Give less than ${exclusiveMaximum}.`);
      return value;
    }
    case "boolean":
      return text === "true";
    case "choice":
      return field.choices[Number(text)];
    case "date-time":
      return new Date(text).toISOString();
    case "json":
      try {
        return JSON.parse(text);
      } catch {
        throw new Error("This is no JSON.");
      }
    default: {
      const { minLength, maxLength } = field.schema;
      if (minLength !== undefined && text.length < minLength) throw new Error(`Give at least ${minLength} characters.`);
      if (maxLength !== undefined && text.length > maxLength) throw new Error(`Give at most ${maxLength} characters.`);
      return text;
    }
  }
}

export type Draft = Record<string, string>;

/** The object of a draft, with what was entered and nothing else; and what is wrong, by the names of fields. */
export function objectOf(
  fields: SchemaField[],
  draft: Draft,
): { value: Record<string, unknown>; wrong: Record<string, string> } {
  const value: Record<string, unknown> = {};
  const wrong: Record<string, string> = {};
  for (const field of fields) {
    try {
      const found = typedValueOf(field, draft[field.name] ?? "");
      if (found !== undefined) value[field.name] = found;
      else if (field.required) wrong[field.name] = "This field is required.";
    } catch (error) {
      wrong[field.name] = (error as Error).message;
    }
  }
  return { value, wrong };
}

/** The draft that makes an object, such as the example of a workload. */
export function draftOf(fields: SchemaField[], value: Record<string, unknown>): Draft {
  const draft: Draft = {};
  for (const field of fields) {
    const found = value[field.name];
    if (found === undefined || found === null) continue;
    if (field.kind === "choice") draft[field.name] = String(field.choices.indexOf(found));
    else if (field.kind === "json") draft[field.name] = JSON.stringify(found);
    else if (field.kind === "date-time") draft[field.name] = String(found).slice(0, 16);
    else draft[field.name] = String(found);
  }
  return draft;
}
