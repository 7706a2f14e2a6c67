import { Link } from "wouter";
import type { Schemas } from "../../api/client";
import { useBatches, useRates, useWorkers, useWorkloads } from "../../api/queries";
import { timeZone } from "../../app/preferences";
import { useStore } from "../../app/store";
import { Icon } from "../../ui/icon";
import { PageHead } from "../../ui/page";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { batchState, State } from "../../ui/state";
import { clockTime, countOf, excerpt, perSecond, short } from "../../ui/text";
import { Time, useNow } from "../../ui/time";
import { BatchTable, nameOfBatch } from "../batches/batch-table";
import { needsOf } from "./needs";

type Batch = Schemas["BatchState"];

const MANY = 50;

/** Is it well, when is it done, what needs me. */
export default function Overview() {
  const running = useBatches({ status: "running", limit: MANY }, 2_000);
  const open = useBatches({ status: "open", limit: MANY }, 5_000);
  const paused = useBatches({ status: "paused", limit: MANY }, 5_000);
  const ended = useBatches({ status: "finished", limit: 20 }, 5_000);
  const workers = useWorkers(5_000);
  const rates = useRates(0, 5_000);
  const workloads = useWorkloads();
  const now = useNow();
  const active = [...(running.data?.batches ?? []), ...(open.data?.batches ?? [])];
  const held = paused.data?.batches ?? [];
  const needs = needsOf(
    {
      ended: ended.data?.batches ?? [],
      active,
      rates: rates.data?.rates ?? [],
      workers: workers.data ? workers.data.workers.length : null,
    },
    now,
    nameOfBatch,
  );
  const isNew = ended.data?.batches.length === 0 && running.data?.batches.length === 0 && held.length === 0;
  return (
    <>
      <PageHead title="Overview" tab="Overview">
        <Link href="/submit" className="button primary">
          <Icon name="submit" size={14} />
          Submit
        </Link>
      </PageHead>
      {isNew && open.data?.batches.length === 0 ? (
        <Welcome />
      ) : (
        <Figures active={active} paused={held} workers={workers.data} />
      )}
      <div className="columns">
        <Panel title="Needs you" count={needs.length > 0 ? countOf(needs.length, "matter") : undefined}>
          <Loaded query={ended} lines={3}>
            {() =>
              needs.length === 0 ? (
                <Empty title="Nothing needs you">
                  <p>Batches that failed in part, open circuits and batches that wait appear here.</p>
                </Empty>
              ) : (
                <ul className="needs">
                  {needs.slice(0, 6).map((need) => (
                    <li key={need.key}>
                      <span className={`state ${need.tone}`}>
                        <Icon name={need.icon} size={13} />
                        {need.tone === "bad" ? "urgent" : "look"}
                      </span>
                      <span className="text">{excerpt(need.text, 240)}</span>
                      <Link href={need.path} className="button small" data-row="">
                        {need.act}
                      </Link>
                    </li>
                  ))}
                </ul>
              )
            }
          </Loaded>
        </Panel>
        <Panel title="Last ended">
          <Loaded query={ended} lines={4}>
            {({ batches }) =>
              batches.length === 0 ? (
                <Empty title="No batch has ended yet" />
              ) : (
                <LastEnded batches={batches.slice(0, 6)} />
              )
            }
          </Loaded>
        </Panel>
      </div>
      <Panel
        title="Running now"
        count={active.length > 0 ? countOf(active.length, "batch", "batches") : undefined}
        end={
          <Link href="/batches?status=running" className="button small">
            All
          </Link>
        }
      >
        <Loaded query={running} lines={4}>
          {() =>
            active.length === 0 ? (
              <Empty title="No batch runs">
                {held.length > 0 && (
                  <p>
                    <Link href="/batches?status=paused">{countOf(held.length, "batch is", "batches are")} paused</Link>.
                  </p>
                )}
              </Empty>
            ) : (
              <BatchTable batches={active.slice(0, 8)} label="Running batches" />
            )
          }
        </Loaded>
      </Panel>
      <System workers={workers.data?.workers} workloads={workloads.data?.workloads} rates={rates.data?.rates} />
    </>
  );
}

function Welcome() {
  return (
    <Panel title="Welcome to Batchyard">
      <Empty title="Submit your first batch">
        <p>
          A batch is a set of items for one workload. Batchyard runs the workload on each item, keeps to the rate that
          each destination can bear, and keeps an outcome for every item.
        </p>
        <Command text={`batchyard submit noop --item '{"n": 7}' --watch`} />
        <Link href="/submit" className="button primary">
          Submit a batch
        </Link>
      </Empty>
    </Panel>
  );
}

function Figures({
  active,
  paused,
  workers,
}: {
  active: Batch[];
  paused: Batch[];
  workers: Schemas["WorkersReply"] | undefined;
}) {
  const now = useNow();
  const zone = useStore(timeZone);
  const pace = active.reduce((sum, batch) => sum + (batch.items_per_s ?? 0), 0);
  const left = active.reduce((sum, batch) => sum + (batch.counts.remaining ?? 0), 0);
  const last = Math.max(0, ...active.map((batch) => batch.eta_s ?? 0));
  const unknown = active.filter((batch) => batch.eta_s == null).length;
  return (
    <div className="figures">
      <Link href="/batches?status=running" className="figure">
        <span className="name">Running</span>
        <span className="value">
          {active.length}
          {active.length >= MANY && "+"}
        </span>
        <span className="more">{paused.length > 0 ? `${paused.length} paused` : "none paused"}</span>
      </Link>
      <div className="figure">
        <span className="name">Items left</span>
        <span className="value">{short(left)}</span>
        <span className="more">in running batches</span>
      </div>
      <div className="figure">
        <span className="name">Pace</span>
        <span className="value">{pace > 0 ? perSecond(pace) : "—"}</span>
        <span className="more">items that end</span>
      </div>
      <div className="figure">
        <span className="name">Ends about</span>
        <span className="value">{last > 0 ? clockTime(now + last * 1000, now, zone) : "—"}</span>
        <span className="more">
          {active.length === 0 ? "nothing runs" : unknown > 0 ? `${unknown} without an estimate` : "at this pace"}
        </span>
      </div>
      <Link href="/workers" className="figure">
        <span className="name">Workers</span>
        <span className={workers?.workers.length === 0 ? "value bad" : "value"}>{workers?.workers.length ?? "—"}</span>
        <span className="more">
          {workers ? `${workers.workers.reduce((sum, worker) => sum + worker.running, 0)} items at work` : ""}
        </span>
      </Link>
    </div>
  );
}

function LastEnded({ batches }: { batches: Batch[] }) {
  return (
    <ul className="needs">
      {batches.map((batch) => (
        <li key={batch.batch_id}>
          <State name={batchState(batch)} />
          <span className="text">
            <Link href={`/batches/${batch.batch_id}`} data-row="">
              {nameOfBatch(batch)}
            </Link>
          </span>
          <span className="note">
            <Time at={batch.finished_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function System({
  workers,
  workloads,
  rates,
}: {
  workers: Schemas["WorkerState"][] | undefined;
  workloads: Schemas["WorkloadView"][] | undefined;
  rates: Schemas["RateState"][] | undefined;
}) {
  if (!workloads) return null;
  return (
    <Panel
      title="Workloads"
      end={
        <Link href="/workloads" className="button small">
          All
        </Link>
      }
    >
      <div className="table-wrap">
        <table className="cards" aria-label="Workloads">
          <thead>
            <tr>
              <th>Workload</th>
              <th>State</th>
              <th className="number">Workers</th>
              <th className="number">In flight</th>
              <th className="number">Waiting</th>
            </tr>
          </thead>
          <tbody>
            {workloads.map((workload) => {
              const own = (rates ?? []).filter((rate) => rate.workload === workload.name);
              const count =
                workers?.filter((worker) => worker.workloads.includes(workload.name)).length ?? workload.workers ?? 0;
              const isOpen = own.some((rate) => rate.circuit === "open");
              return (
                <tr key={workload.name}>
                  <td data-label="Workload">
                    <Link href={`/workloads/${workload.name}`} className="main-link">
                      {excerpt(workload.title || workload.name, 60)}
                    </Link>
                  </td>
                  <td data-label="State">
                    <State name={isOpen ? "circuit_open" : count > 0 ? "active" : "absent"} />
                  </td>
                  <td data-label="Workers" className="number">
                    {count}
                  </td>
                  <td data-label="In flight" className="number">
                    {short(own.reduce((sum, rate) => sum + (rate.in_flight ?? 0), 0))}
                  </td>
                  <td data-label="Waiting" className="number">
                    {short(own.reduce((sum, rate) => sum + (rate.waiting ?? 0), 0))}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
