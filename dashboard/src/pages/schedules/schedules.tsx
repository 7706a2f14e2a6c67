import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { api, bodyOf } from "../../api/client";
import { useInterval } from "../../api/queries";
import { useScope } from "../../app/access";
import { Icon } from "../../ui/icon";
import { PageHead, ScopedButton } from "../../ui/page";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { Table } from "../../ui/table";
import { countOf, excerpt } from "../../ui/text";
import { Time } from "../../ui/time";
import { cronWords } from "./cron-words";
import { ScheduleForm } from "./schedule-form";

export default function Schedules() {
  const interval = useInterval(10_000);
  const write = useScope("schedules:write");
  const [edits, setEdits] = useState(false);
  const query = useQuery({
    queryKey: ["schedules"],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/schedules", { params: { query: { limit: 200 } }, signal })),
    refetchInterval: interval,
  });
  return (
    <>
      <PageHead title="Schedules" tab="Schedules" lead="Batches that start at recurring times.">
        <ScopedButton {...write} className="button primary" onClick={() => setEdits(true)}>
          <Icon name="submit" size={14} />
          New schedule
        </ScopedButton>
      </PageHead>
      <Panel title="Schedules" count={query.data && countOf(query.data.schedules.length, "schedule")}>
        <Loaded query={query}>
          {({ schedules }) =>
            schedules.length === 0 ? (
              <Empty title="There are no schedules">
                <p>A schedule submits a template, or a batch, at times that a cron expression names.</p>
                <Command
                  text={`batchyard schedules save nightly --cron '0 3 * * *' --zone Europe/Berlin --template nightly-read`}
                />
              </Empty>
            ) : (
              <Table label="Schedules" columns={["Schedule", "State", "When", "Next", "Starts"]}>
                {schedules.map((each) => (
                  <tr key={each.name}>
                    <td data-label="Schedule">
                      <Link href={`/schedules/${each.name}`} className="main-link" data-row="">
                        {each.name}
                      </Link>
                    </td>
                    <td data-label="State">
                      <State name={each.paused ? "paused" : "active"} />
                    </td>
                    <td data-label="When">
                      <div>
                        {cronWords(each.cron)}
                        <span className="sub">
                          <code>{each.cron}</code> {each.zone}
                        </span>
                      </div>
                    </td>
                    <td data-label="Next">
                      {each.next_at && !each.paused ? <Time at={each.next_at} /> : <span className="quiet">—</span>}
                    </td>
                    <td data-label="Starts">
                      {each.template ? (
                        <Link href={`/templates/${each.template}`}>{each.template}</Link>
                      ) : (
                        <span>{excerpt(each.workload, 60)}</span>
                      )}
                    </td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
      </Panel>
      {edits && <ScheduleForm onClose={() => setEdits(false)} />}
    </>
  );
}
