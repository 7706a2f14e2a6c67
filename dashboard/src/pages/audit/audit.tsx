import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useScope } from "../../app/access";
import { useFilters } from "../../app/filters";
import { Json } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Field, PageHead } from "../../ui/page";
import { Pager } from "../../ui/pager";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { Table } from "../../ui/table";
import { excerpt, visible } from "../../ui/text";
import { ExactTime, Time } from "../../ui/time";

type Entry = Schemas["AuditEntry"];

const FILTERS = ["action", "object", "actor", "key_id"] as const;
const LABELS = { action: "Action", object: "Object", actor: "Who", key_id: "Key" };
const HINTS = { action: "batch.cancel", object: "id or name", actor: "owner", key_id: "id of a key" };
const ID = /^[0-9a-f]{8}-/;

export default function Audit() {
  const scope = useScope("keys:write");
  const [params, change] = useFilters();
  const [open, setOpen] = useState<Entry | null>(null);
  const before = params.get("before");
  const filter = Object.fromEntries(FILTERS.flatMap((name) => (params.get(name) ? [[name, params.get(name)]] : [])));
  const query = useQuery({
    queryKey: ["audit", filter, before],
    queryFn: async ({ signal }) => {
      const page = await bodyOf(
        api.GET("/api/v1/audit", {
          params: { query: { ...filter, ...(before ? { before: Number(before) } : {}), limit: 50 } },
          signal,
        }),
      );
      return page as Schemas["AuditPage"];
    },
    enabled: scope.allowed,
  });
  const next = query.data?.next_before;
  return (
    <>
      <PageHead title="Audit" tab="Audit" lead="Who changed what, when, from where and by which key.">
        {scope.allowed && (
          <a
            className="button"
            href={`/api/v1/audit?${new URLSearchParams({ ...filter, format: "ndjson" } as Record<string, string>)}`}
            download="audit.ndjson"
          >
            <Icon name="download" size={14} />
            Export
          </a>
        )}
      </PageHead>
      <search className="filters">
        {FILTERS.map((name) => (
          <Field key={name} id={`audit-${name}`} label={LABELS[name]}>
            <input
              id={`audit-${name}`}
              key={params.get(name) ?? ""}
              data-filter={name === "action" ? "" : undefined}
              placeholder={HINTS[name]}
              defaultValue={params.get(name) ?? ""}
              onKeyDown={(event) => {
                if (event.key !== "Enter") return;
                change({ [name]: event.currentTarget.value.trim(), before: null });
              }}
            />
          </Field>
        ))}
      </search>
      <Panel title="Entries">
        {scope.allowed ? (
          <Loaded query={query} lines={8}>
            {({ entries }) =>
              entries.length === 0 ? (
                <Empty title="Nothing matches" />
              ) : (
                <Table label="Audit" columns={["When", "Action", "Object", "Who", "From"]}>
                  {entries.map((entry) => (
                    <tr key={entry.id}>
                      <td data-label="When">
                        <Time at={entry.at} />
                      </td>
                      <td data-label="Action">
                        <button type="button" className="link-button" data-row="" onClick={() => setOpen(entry)}>
                          <code>{excerpt(entry.action, 60)}</code>
                        </button>
                      </td>
                      <td data-label="Object">
                        {entry.action.startsWith("batch.") && ID.test(entry.object) ? (
                          <Link href={`/batches/${entry.object}`}>
                            <code>{excerpt(entry.object, 60)}</code>
                          </Link>
                        ) : (
                          <code>{excerpt(entry.object, 60)}</code>
                        )}
                      </td>
                      <td data-label="Who">
                        <div>
                          {excerpt(entry.actor, 60)}
                          {entry.key_id && <span className="sub">key {excerpt(entry.key_id, 30)}</span>}
                        </div>
                      </td>
                      <td data-label="From">
                        <span className="quiet">
                          {entry.door}
                          {entry.address && ` · ${excerpt(entry.address, 50)}`}
                        </span>
                      </td>
                    </tr>
                  ))}
                </Table>
              )
            }
          </Loaded>
        ) : (
          <Empty title={scope.why} />
        )}
        {(next || before) && (
          <Pager
            start={["Newest", before ? () => change({ before: null }) : null]}
            on={["Older", next ? () => change({ before: String(next) }) : null]}
          />
        )}
      </Panel>
      {open && (
        <Dialog title={excerpt(open.action, 60)} onClose={() => setOpen(null)} wide>
          <dl className="facts">
            <dt>When</dt>
            <dd>
              <ExactTime at={open.at} />
            </dd>
            <dt>Object</dt>
            <dd>
              <code>{visible(open.object)}</code> of {excerpt(open.owner, 60)}
            </dd>
            {open.trace && (
              <>
                <dt>Trace</dt>
                <dd>
                  <code>{visible(open.trace)}</code>
                </dd>
              </>
            )}
          </dl>
          <div className="before-after">
            <div className="field">
              <span className="label">Before</span>
              <Json value={open.before ?? null} label="before" />
            </div>
            <div className="field">
              <span className="label">After</span>
              <Json value={open.after ?? null} label="after" />
            </div>
          </div>
        </Dialog>
      )}
    </>
  );
}
