/** Items that a reader pastes or drops: what they are, and a look at the first ones. All functions are pure. */

export type Format = "ndjson" | "csv" | "json";

export interface Pasted {
  format: Format;
  /** The text to send: NDJSON and CSV as they are, addresses as items. */
  text: string;
  count: number;
  first: string[];
  wrong: string | null;
}

const ADDRESS = /^https?:\/\/\S+$/;

/** Reads pasted text: lines of JSON, CSV with a header, a JSON list, or one address on each line. */
export function readPasted(text: string): Pasted {
  const trimmed = text.trim();
  const lines = trimmed.split(/\r?\n/).filter((line) => line.trim() !== "");
  const base = { count: lines.length, first: lines.slice(0, 5), wrong: null };
  if (trimmed === "") return { format: "ndjson", text: "", count: 0, first: [], wrong: null };
  if (lines.every((line) => ADDRESS.test(line.trim()))) {
    return {
      format: "ndjson",
      text: lines.map((line) => `${JSON.stringify({ url: line.trim() })}\n`).join(""),
      ...base,
    };
  }
  if (trimmed.startsWith("[")) {
    try {
      const list: unknown = JSON.parse(trimmed);
      if (!Array.isArray(list)) return { format: "json", text: "", ...base, wrong: "This is no list of items." };
      const rows = list.map((each) => JSON.stringify(each));
      return {
        format: "ndjson",
        text: rows.map((row) => `${row}\n`).join(""),
        count: rows.length,
        first: rows.slice(0, 5),
        wrong: null,
      };
    } catch (error) {
      return { format: "json", text: "", ...base, wrong: `This is no JSON: ${(error as Error).message}` };
    }
  }
  if (trimmed.startsWith("{")) {
    const at = lines.slice(0, 200).findIndex((line) => !isJson(line));
    const wrong = at < 0 ? null : `Line ${at + 1} is no JSON. Each line is one item.`;
    return { format: "ndjson", text: lines.map((line) => `${line}\n`).join(""), ...base, wrong };
  }
  return {
    format: "csv",
    text: `${lines.join("\n")}\n`,
    ...base,
    count: lines.length - 1,
    wrong:
      lines.length < 2 ? "A CSV text has a header with the names of the fields, then one item on each line." : null,
  };
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** The format of a file, by its name. */
export function formatOf(name: string): Format | null {
  const suffix = name.toLowerCase().split(".").at(-1);
  if (suffix === "csv") return "csv";
  if (suffix === "json") return "json";
  return suffix === "ndjson" || suffix === "jsonl" ? "ndjson" : null;
}
