/** A JSON Patch as rows of a form. */

export interface PatchRow {
  id: number;
  op: "add" | "replace" | "remove";
  path: string;
  value: string;
}

export interface Operation {
  op: string;
  path: string;
  value?: unknown;
}

/** A value that was typed: JSON where it is JSON, else a string. */
export function typedValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The operations of rows; rows without a path are left out. A path may be written without its slash. */
export function operationsOf(rows: readonly PatchRow[]): Operation[] {
  return rows
    .filter((row) => row.path.trim() !== "")
    .map((row) => {
      const path = row.path.trim().startsWith("/") ? row.path.trim() : `/${row.path.trim()}`;
      return row.op === "remove" ? { op: row.op, path } : { op: row.op, path, value: typedValue(row.value) };
    });
}

/** The operations of a text, or what is wrong with it. */
export function operationsOfText(text: string): Operation[] | string {
  if (text.trim() === "") return [];
  try {
    const found: unknown = JSON.parse(text);
    const list = Array.isArray(found) ? found : [found];
    if (list.every((each) => typeof each === "object" && each !== null && "op" in each && "path" in each)) return list;
    return "Each operation needs op and path.";
  } catch (error) {
    return `This is no JSON: ${(error as Error).message}`;
  }
}
