import type { Schemas } from "../../api/client";

/** The text of a template while it is edited. All functions are pure. */

export interface Draft {
  name: string;
  description: string;
  body: string;
  parameters: string;
  fill: string;
}

export const EMPTY: Draft = {
  name: "",
  description: "",
  body: `${JSON.stringify({ workload: "", items: [] }, null, 2)}\n`,
  parameters: "",
  fill: "",
};

type Parsed = { value: Partial<Schemas["TemplateSave"]>; wrong: Partial<Record<keyof Draft, string>> };

export function draftOfTemplate(template: Schemas["TemplateDetail"]): Draft {
  return {
    name: template.name,
    description: template.description,
    body: written(template.body),
    parameters: written(template.parameters),
    fill: written(template.fill),
  };
}

/** The template that the texts describe, and what is wrong with each of them. */
export function templateOf(draft: Draft): Parsed {
  const wrong: Parsed["wrong"] = {};
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(draft.name)) {
    wrong.name = "A name begins with a small letter and has small letters, digits and hyphens.";
  }
  const read = (name: "body" | "parameters" | "fill"): Record<string, unknown> => {
    if (draft[name].trim() === "") return {};
    try {
      const value: unknown = JSON.parse(draft[name]);
      if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
      wrong[name] = "This is no JSON object.";
    } catch (error) {
      wrong[name] = `This is no JSON: ${(error as Error).message}`;
    }
    return {};
  };
  const body = read("body");
  if (!wrong.body && !body.workload) wrong.body = "The batch has to name its workload.";
  const value = {
    name: draft.name,
    description: draft.description,
    body,
    parameters: read("parameters"),
    fill: read("fill"),
  };
  return { value: value as Parsed["value"], wrong };
}

function written(value: Record<string, unknown>): string {
  return Object.keys(value).length === 0 ? "" : `${JSON.stringify(value, null, 2)}\n`;
}
