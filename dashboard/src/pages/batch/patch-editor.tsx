import { Icon } from "../../ui/icon";
import { operationsOf, type PatchRow } from "./patch";

/** A JSON Patch as rows of a form, or as text. */
export function PatchEditor({
  rows,
  setRows,
  raw,
  setRaw,
  wrong,
}: {
  rows: PatchRow[];
  setRows: (rows: PatchRow[]) => void;
  raw: string | null;
  setRaw: (raw: string | null) => void;
  wrong: string;
}) {
  const change = (id: number, part: Partial<PatchRow>) =>
    setRows(rows.map((row) => (row.id === id ? { ...row, ...part } : row)));
  const operations = operationsOf(rows);
  return (
    <fieldset className="field">
      <legend>Change the payloads first</legend>
      {raw === null ? (
        <div className="stack">
          {rows.map((row) => (
            <div key={row.id} className="patch-row">
              <select
                aria-label="Operation"
                value={row.op}
                onChange={(event) => change(row.id, { op: event.target.value as PatchRow["op"] })}
              >
                <option value="replace">replace</option>
                <option value="add">add</option>
                <option value="remove">remove</option>
              </select>
              <input
                aria-label="Path"
                placeholder="/url"
                className="mono"
                value={row.path}
                onChange={(event) => change(row.id, { path: event.target.value })}
              />
              <input
                aria-label="Value"
                placeholder={row.op === "remove" ? "" : "value, as JSON or text"}
                className="mono"
                disabled={row.op === "remove"}
                value={row.op === "remove" ? "" : row.value}
                onChange={(event) => change(row.id, { value: event.target.value })}
              />
              <button
                type="button"
                className="button bare icon"
                aria-label="Remove this row"
                onClick={() => setRows(rows.filter((each) => each.id !== row.id))}
              >
                <Icon name="close" size={14} />
              </button>
            </div>
          ))}
          <div className="row">
            <button
              type="button"
              className="button small"
              onClick={() => setRows([...rows, { id: (rows.at(-1)?.id ?? 0) + 1, op: "replace", path: "", value: "" }])}
            >
              Add a change
            </button>
            <button
              type="button"
              className="button bare small"
              onClick={() => setRaw(operations.length ? JSON.stringify(operations, null, 2) : "")}
            >
              as JSON Patch
            </button>
          </div>
        </div>
      ) : (
        <div className="stack">
          <textarea
            aria-label="JSON Patch"
            value={raw}
            aria-invalid={wrong !== ""}
            placeholder={'[{"op": "replace", "path": "/url", "value": "https://…"}]'}
            onChange={(event) => setRaw(event.target.value)}
          />
          {wrong && <span className="wrong">{wrong}</span>}
          <div className="row">
            <button type="button" className="button bare small" onClick={() => setRaw(null)}>
              as rows
            </button>
          </div>
        </div>
      )}
    </fieldset>
  );
}
