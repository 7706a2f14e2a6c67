import { useState } from "react";
import { Icon } from "../../ui/icon";
import { Field } from "../../ui/page";
import { bytes, excerpt, whole } from "../../ui/text";
import type { Pasted } from "./items";

/** A place for a file of items, or for their text. */
export function FileOrText({
  text,
  setText,
  pasted,
  file,
  setFile,
}: {
  text: string;
  pasted: Pasted;
  setText: (text: string) => void;
  file: File | null;
  setFile: (file: File | null) => void;
}) {
  const [over, setOver] = useState(false);
  return (
    <>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the button below does the same by keyboard */}
      <div
        className="drop"
        data-over={over}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          setFile(event.dataTransfer.files[0] ?? null);
        }}
      >
        <Icon name="file" size={22} />
        {file ? (
          <>
            <b>{excerpt(file.name, 80)}</b>
            <span className="note">{bytes(file.size)}</span>
            <button type="button" className="button small" onClick={() => setFile(null)}>
              Take another
            </button>
          </>
        ) : (
          <>
            <span>Drop a file of items here: NDJSON, CSV or JSON</span>
            <label className="button small">
              Choose a file
              <input
                type="file"
                className="hidden-visually"
                accept=".ndjson,.jsonl,.csv,.json"
                onChange={(event) => setFile(event.target.files?.[0] ?? null)}
              />
            </label>
          </>
        )}
      </div>
      {!file && (
        <Field
          id="pasted"
          label="Or paste items"
          hint="JSON lines, a JSON list, CSV with a header, or addresses, one a line"
          wrong={pasted.wrong ?? undefined}
        >
          <textarea
            id="pasted"
            spellCheck={false}
            value={text}
            aria-invalid={pasted.wrong !== null}
            onChange={(event) => setText(event.target.value)}
          />
        </Field>
      )}
      {!file && pasted.count > 0 && pasted.wrong === null && (
        <div className="field">
          <span className="label">
            The first of {whole(pasted.count)}, read as {pasted.format === "csv" ? "CSV" : "JSON"}
          </span>
          <div className="code">
            <pre>{pasted.first.map((line) => excerpt(line, 200)).join("\n")}</pre>
          </div>
        </div>
      )}
    </>
  );
}
