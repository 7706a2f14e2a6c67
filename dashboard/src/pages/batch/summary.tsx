import type { Schemas } from "../../api/client";
import { Json } from "../../ui/code";
import { Panel } from "../../ui/panel";
import { excerpt, whole } from "../../ui/text";

/** The answer of the workload for the whole batch: plain values as a list, all else as JSON. */
export function Summary({ batch }: { batch: Schemas["BatchState"] }) {
  const { summary } = batch;
  if (batch.summary_error) {
    return (
      <Panel title="Summary">
        <div className="panel-body">
          <p>The summary failed: {excerpt(batch.summary_error, 500)}</p>
        </div>
      </Panel>
    );
  }
  if (summary == null) {
    return (
      <Panel title="Summary">
        <div className="message">
          {batch.status === "finished"
            ? "This workload makes no summary of a batch."
            : "If the workload makes a summary, it is here when the batch has ended."}
        </div>
      </Panel>
    );
  }
  const plain =
    typeof summary === "object" && !Array.isArray(summary)
      ? Object.entries(summary).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
      : [];
  const isPlain = typeof summary === "object" && plain.length === Object.keys(summary).length && plain.length > 0;
  return (
    <Panel title="Summary">
      <div className="panel-body stack">
        {plain.length > 0 && (
          <dl className="facts">
            {plain.map(([name, value]) => (
              <div key={name} style={{ display: "contents" }}>
                <dt>{excerpt(name.replaceAll("_", " "), 80)}</dt>
                <dd>{typeof value === "number" && Number.isInteger(value) ? whole(value) : excerpt(String(value))}</dd>
              </div>
            ))}
          </dl>
        )}
        {!isPlain && <Json value={summary} label="summary" />}
      </div>
    </Panel>
  );
}
