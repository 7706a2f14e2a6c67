import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { useScope } from "../../app/access";
import { Icon } from "../../ui/icon";
import { ScopedButton } from "../../ui/page";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { number, Table } from "../../ui/table";
import { countOf, excerpt, visible, whole } from "../../ui/text";

type Group = Schemas["FailureGroup"];

const FEW = 6;

/** Failures by cause, the largest group first, each with the way to its items and to their retry. */
export function Failures({
  query,
  batch,
  onRetry,
  short = false,
}: {
  query: UseQueryResult<Schemas["FailuresReply"], Error>;
  batch: Schemas["BatchState"];
  onRetry: (causes: string[]) => void;
  short?: boolean;
}) {
  const finished = batch.status === "finished";
  return (
    <Panel
      title="Failures by cause"
      count={query.data?.groups?.length ? countOf(query.data.groups.length, "cause") : undefined}
    >
      <Loaded query={query}>
        {({ groups = [] }) =>
          groups.length === 0 ? (
            <Empty title={finished ? "No item failed" : "No item has failed so far"} />
          ) : (
            <>
              <Table label="Failures by cause" columns={["Cause", number("Items"), ""]}>
                {(short ? groups.slice(0, FEW) : groups).map((group) => (
                  <Row
                    key={`${group.cause}${group.code}${group.partition}`}
                    group={group}
                    batch={batch}
                    onRetry={onRetry}
                  />
                ))}
              </Table>
              {short && groups.length > FEW && (
                <div className="panel-head">
                  <Link href={`/batches/${batch.batch_id}/failures`}>All {groups.length} causes</Link>
                </div>
              )}
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Row({
  group,
  batch,
  onRetry,
}: {
  group: Group;
  batch: Schemas["BatchState"];
  onRetry: (causes: string[]) => void;
}) {
  const write = useScope("batches:write");
  const finished = batch.status === "finished";
  const { cause } = group;
  const items = new URLSearchParams({ state: "failed", ...(cause ? { cause } : {}) });
  return (
    <tr>
      <td data-label="Cause">
        <div>
          <code>
            <b>{excerpt(group.code, 80)}</b>
          </code>
          {group.partition && <span className="note"> at {excerpt(group.partition, 80)}</span>}
          <span className="sub">
            {excerpt(group.message, 300)}
            {group.retryable != null && (
              <>
                {" · "}
                {group.retryable ? "a retry may help" : "a retry alone does not help"}
              </>
            )}
          </span>
          <span className="sub">
            items{" "}
            {group.ordinals
              .slice(0, 10)
              .map((ordinal) => `#${ordinal}`)
              .join(", ")}
            {group.count > group.ordinals.length && " …"}
          </span>
        </div>
      </td>
      <td data-label="Items" className="number">
        <b>{whole(group.count)}</b>
      </td>
      <td data-label="">
        <div className="row" style={{ justifyContent: "flex-end", flexWrap: "nowrap" }}>
          <Link
            href={`/batches/${batch.batch_id}/items?${items}`}
            className="button small"
            data-row=""
            aria-label={`Items that failed by ${visible(group.code)}`}
          >
            Items
          </Link>
          <ScopedButton
            className="button small"
            allowed={write.allowed && finished && cause != null}
            why={write.allowed ? "A batch can be retried when its round has ended." : write.why}
            onClick={() => cause && onRetry([cause])}
          >
            <Icon name="retry" size={13} />
            Retry…
          </ScopedButton>
        </div>
      </td>
    </tr>
  );
}
