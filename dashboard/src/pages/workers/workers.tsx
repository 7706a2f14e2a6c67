import { useWorkers } from "../../api/queries";
import { useScope } from "../../app/access";
import { PageHead } from "../../ui/page";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { countOf, excerpt } from "../../ui/text";
import { Time, useNow } from "../../ui/time";

const QUIET_MS = 10_000;

export default function Workers() {
  const query = useWorkers();
  const operate = useScope("operate");
  const now = useNow();
  return (
    <>
      <PageHead
        title="Workers"
        tab="Workers"
        lead="Processes that run items. Each announces itself every two seconds."
      />
      <Panel title="Live workers" count={query.data && countOf(query.data.workers.length, "worker")}>
        <Loaded query={query}>
          {({ workers }) =>
            workers.length === 0 ? (
              <Empty title="No worker runs">
                <p>Items wait, and nothing is lost. Start a worker:</p>
                <Command text="python -m services.worker" />
              </Empty>
            ) : (
              <Table
                label="Workers"
                columns={["Worker", "State", number("Items at work"), number("Chunks"), "Slots", "Heard"]}
              >
                {workers.map((worker) => (
                  <tr key={worker.worker_id}>
                    <td data-label="Worker">
                      <div>
                        <code>{excerpt(worker.worker_id, 60)}</code>
                        <span className="sub">{worker.workloads.join(", ")}</span>
                      </div>
                    </td>
                    <td data-label="State">
                      <State
                        name={
                          worker.stopping
                            ? "stopping"
                            : now - Date.parse(worker.seen_at) > QUIET_MS
                              ? "missed"
                              : "active"
                        }
                        {...(now - Date.parse(worker.seen_at) > QUIET_MS ? { word: "not heard" } : {})}
                      />
                    </td>
                    <td data-label="At work" className="number">
                      {worker.running}
                    </td>
                    <td data-label="Chunks" className="number">
                      {operate.allowed ? worker.chunks.length : "—"}
                    </td>
                    <td data-label="Slots">
                      <Slots slots={worker.slots as Record<string, { busy?: number; max: number }> | undefined} />
                    </td>
                    <td data-label="Heard">
                      <Time at={worker.seen_at} />
                    </td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
      </Panel>
      {!operate.allowed && <p className="note">Ids and chunks of workers are for operators. {operate.why}</p>}
    </>
  );
}

function Slots({ slots }: { slots: Record<string, { busy?: number; max: number }> | undefined }) {
  const busy = Object.entries(slots ?? {}).filter(([, count]) => (count.busy ?? 0) > 0);
  if (busy.length === 0) return <span className="quiet">all free</span>;
  return (
    <span>
      {busy.map(([workload, count]) => (
        <span key={workload} className="sub">
          {workload} {count.busy} of {count.max}
        </span>
      ))}
    </span>
  );
}
