import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "wouter";
import { api, bodyOf } from "../../api/client";
import { useInterval } from "../../api/queries";
import { useScope } from "../../app/access";
import { Json, SameIn } from "../../ui/code";
import { Icon } from "../../ui/icon";
import { PageHead, ScopedButton } from "../../ui/page";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { Table } from "../../ui/table";
import { excerpt, visible } from "../../ui/text";
import { ExactTime, Time } from "../../ui/time";
import { say } from "../../ui/toast";
import { cronWords } from "./cron-words";
import { ScheduleForm } from "./schedule-form";

const SHOWN_TIMES = 10;
const OVERLAPS: Record<string, string> = {
  skip: "a time is skipped while the run before goes on",
  queue: "a run waits for the one before",
  cancel: "the run before is cancelled",
  allow: "runs go on side by side",
};
const MISSED: Record<string, string> = {
  none: "none is made up for",
  one: "the latest one is made up for",
  all: "all are made up for",
};

export default function SchedulePage() {
  const { name = "" } = useParams<{ name: string }>();
  const client = useQueryClient();
  const write = useScope("schedules:write");
  const interval = useInterval(5_000);
  const path = { schedule: name };
  const [edits, setEdits] = useState(false);
  const query = useQuery({
    queryKey: ["schedule", name],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/schedules/{schedule}", { params: { path }, signal })),
    refetchInterval: interval,
  });
  const times = useQuery({
    queryKey: ["schedule-times", name],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/schedules/{schedule}/times", { params: { path, query: { count: SHOWN_TIMES } }, signal }),
      ),
  });
  const runs = useQuery({
    queryKey: ["schedule-runs", name],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/schedules/{schedule}/runs", { params: { path, query: { limit: 50 } }, signal })),
    refetchInterval: interval,
  });
  const act = useMutation({
    mutationFn: async (what: "pause" | "resume" | "run") => {
      if (what === "run") await bodyOf(api.POST("/api/v1/schedules/{schedule}/run", { params: { path } }));
      else if (what === "resume") await bodyOf(api.POST("/api/v1/schedules/{schedule}/resume", { params: { path } }));
      else await bodyOf(api.POST("/api/v1/schedules/{schedule}/pause", { params: { path }, body: { note: "" } }));
    },
    onSuccess: (_answer, what) => {
      say(what === "run" ? "A run begins within seconds" : what === "pause" ? "Paused: no run begins" : "Resumed");
      for (const each of ["schedule", "schedule-times", "schedule-runs"])
        client.invalidateQueries({ queryKey: [each, name] });
    },
    onError: (error) => say(error.message, "bad"),
  });
  return (
    <>
      <PageHead
        title={name}
        tab={name}
        back={["/schedules", "Schedules"]}
        lead={query.data && cronWords(query.data.cron)}
      >
        {query.data && (
          <>
            <ScopedButton {...write} onClick={() => act.mutate(query.data.paused ? "resume" : "pause")}>
              <Icon name={query.data.paused ? "running" : "paused"} size={14} />
              {query.data.paused ? "Resume" : "Pause"}
            </ScopedButton>
            <ScopedButton {...write} onClick={() => setEdits(true)}>
              Edit…
            </ScopedButton>
            <ScopedButton {...write} className="button primary" onClick={() => act.mutate("run")}>
              Run now
            </ScopedButton>
          </>
        )}
      </PageHead>
      {edits && query.data && <ScheduleForm present={query.data} onClose={() => setEdits(false)} />}
      <div className="columns">
        <div className="stack">
          <Panel title="Runs">
            <Loaded query={runs}>
              {(data) =>
                data.runs.length === 0 ? (
                  <Empty title="It has not run yet" />
                ) : (
                  <Table label="Runs" columns={["Due", "State", "Batch or reason"]}>
                    {data.runs.map((run) => (
                      <tr key={`${run.nominal_at}${run.origin}`}>
                        <td data-label="Due">
                          <div>
                            <ExactTime at={run.nominal_at} />
                            <span className="sub">
                              {run.origin}
                              {(run.count ?? 1) > 1 && `, ${run.count} times`}
                            </span>
                          </div>
                        </td>
                        <td data-label="State">
                          <State name={run.state} />
                        </td>
                        <td data-label="Batch">
                          {run.batch_id ? (
                            <Link href={`/batches/${run.batch_id}`} data-row="">
                              {run.batch_id.slice(0, 8)}…{run.batch_id.slice(-4)}
                            </Link>
                          ) : (
                            <span className="quiet">{excerpt(run.reason ?? "", 160)}</span>
                          )}
                        </td>
                      </tr>
                    ))}
                  </Table>
                )
              }
            </Loaded>
          </Panel>
        </div>
        <div className="stack">
          <Panel title="Rule">
            <Loaded query={query}>
              {(found) => (
                <div className="panel-body stack">
                  <dl className="facts">
                    <dt>State</dt>
                    <dd className="row">
                      <State name={found.paused ? "paused" : "active"} />
                      {found.note && <span className="note">{visible(found.note)}</span>}
                    </dd>
                    <dt>Expression</dt>
                    <dd>
                      <code>{found.cron}</code>, {found.zone}
                    </dd>
                    <dt>Starts</dt>
                    <dd>
                      {found.template ? (
                        <>
                          <Link href={`/templates/${found.template}`}>{found.template}</Link>
                          {found.template_version != null ? `, version ${found.template_version}` : ", newest version"}
                        </>
                      ) : (
                        `a batch of ${found.workload}`
                      )}
                    </dd>
                    <dt>Overlap</dt>
                    <dd>{OVERLAPS[found.overlap] ?? found.overlap}</dd>
                    <dt>Missed times</dt>
                    <dd>{MISSED[found.missed] ?? found.missed}</dd>
                    {found.next_at && !found.paused && (
                      <>
                        <dt>Next</dt>
                        <dd>
                          <Time at={found.next_at} />
                        </dd>
                      </>
                    )}
                  </dl>
                  {Object.keys(found.parameters ?? {}).length > 0 && (
                    <div className="field">
                      <span className="label">Parameters</span>
                      <Json value={found.parameters} label="parameters" />
                    </div>
                  )}
                </div>
              )}
            </Loaded>
          </Panel>
          <Panel title={`The next ${SHOWN_TIMES} times`}>
            <Loaded query={times}>
              {(data) => (
                <ol className="panel-body stack times">
                  {data.times.map((time) => (
                    <li key={time.at} className="row">
                      <ExactTime at={time.at} />
                      {time.mark && (
                        <span className="tag">
                          {time.mark === "moved" ? "moved by a clock change" : "hour repeats"}
                        </span>
                      )}
                    </li>
                  ))}
                </ol>
              )}
            </Loaded>
          </Panel>
          <Panel title="The same elsewhere">
            <div className="panel-body">
              <SameIn
                forms={[
                  [
                    "CLI",
                    `batchyard schedules show ${name}\nbatchyard schedules run ${name}\nbatchyard schedules pause ${name}`,
                  ],
                ]}
              />
            </div>
          </Panel>
        </div>
      </div>
    </>
  );
}
