import { Link, useSearchParams } from "wouter";
import { actingFor, linkFor } from "../../api/acting-for";
import type { Schemas } from "../../api/client";
import { actFor, type Span, useBatches, useMeta, useOverview, useSeries } from "../../api/queries";
import { timeZone } from "../../app/preferences";
import { useStore } from "../../app/store";
import { useBatchesTopic, useOverviewTopic } from "../../live/topics";
import { Icon } from "../../ui/icon";
import { PageHead } from "../../ui/page";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { SeriesCharts } from "../../ui/series-charts";
import { batchState, State } from "../../ui/state";
import { clockTime, countOf, excerpt, perSecond, short, whole } from "../../ui/text";
import { Time, useNow } from "../../ui/time";
import { BatchTable, nameOfBatch } from "../batches/batch-table";
import { lookOf } from "./attention";

type Batch = Schemas["BatchState"];
type View = Schemas["OverviewView"];

const SHOWN_BATCHES = 8;
const SHOWN_MATTERS = 7;

/** The page of figures, of what needs somebody, and of what runs. */
export default function Overview() {
  const overview = useOverview(useOverviewTopic() ? 30_000 : 3_000);
  const running = useBatches({ status: "running", limit: 50 }, useBatchesTopic() ? 15_000 : 3_000);
  const active = running.data?.batches ?? [];
  return (
    <>
      <PageHead title="Overview" tab="Overview">
        <Link href="/submit" className="button primary">
          <Icon name="submit" size={14} />
          Submit
        </Link>
      </PageHead>
      {overview.data && (isNew(overview.data) ? <Welcome /> : <Figures view={overview.data} active={active} />)}
      <div className="columns">
        <Panel
          title="Needs you"
          count={overview.data?.attention.length ? countOf(overview.data.attention.length, "matter") : undefined}
        >
          <Loaded query={overview} lines={3}>
            {({ attention }) =>
              attention.length === 0 ? (
                <Empty title="Nothing needs you">
                  <p>Failed and stopped batches, open circuits, missed schedules and dead letters appear here.</p>
                </Empty>
              ) : (
                <ul className="needs">
                  {attention.slice(0, SHOWN_MATTERS).map((entry) => (
                    <Matter key={`${entry.kind}${entry.batch_id ?? ""}${entry.detail}`} entry={entry} />
                  ))}
                </ul>
              )
            }
          </Loaded>
        </Panel>
        <div className="stack">
          <Panel title="Last ended">
            <Loaded query={overview} lines={3}>
              {({ ends }) =>
                !ends || ends.length === 0 ? <Empty title="No batch has ended yet" /> : <LastEnded batches={ends} />
              }
            </Loaded>
          </Panel>
        </div>
      </div>
      <Panel
        title="Running now"
        count={overview.data && countOf(overview.data.batches.running, "batch", "batches")}
        end={
          <Link href="/batches?status=running" className="button small">
            All
          </Link>
        }
      >
        <Loaded query={running} lines={4}>
          {() =>
            active.length === 0 ? (
              <Empty title={overview.data?.batches.running ? "None of them is yours" : "No batch runs"} />
            ) : (
              <BatchTable batches={active.slice(0, SHOWN_BATCHES)} label="Running batches" />
            )
          }
        </Loaded>
      </Panel>
      <Charts />
      <Panel title="System">
        <Loaded query={overview} lines={2}>
          {({ system }) => <System parts={system} />}
        </Loaded>
      </Panel>
    </>
  );
}

const SPANS: Span[] = ["hour", "day", "week"];

function Charts() {
  const [search, setSearch] = useSearchParams();
  const span = SPANS.find((each) => each === search.get("span")) ?? "hour";
  const series = useSeries(span);
  return (
    <div className="columns">
      <SeriesCharts
        query={series}
        empty={`No item ended in the last ${span}`}
        end={
          <fieldset className="segmented" aria-label="Time that is shown">
            {SPANS.map((each) => (
              <button
                key={each}
                type="button"
                aria-pressed={each === span}
                onClick={() => setSearch(each === "hour" ? {} : { span: each }, { replace: true })}
              >
                {each}
              </button>
            ))}
          </fieldset>
        }
      />
    </div>
  );
}

function isNew({ batches, ends }: View): boolean {
  const { open, running, paused } = batches;
  return open + running + (paused ?? 0) === 0 && (ends?.length ?? 0) === 0;
}

/** Returns a function with the link of a batch: to an operator it opens the batches of its owner, also in a new tab. */
function useBatchLink(): (path: string, owner: string | null | undefined) => { href: string; onClick?: () => void } {
  const meta = useMeta();
  const shown = useStore(actingFor) ?? meta.data?.owner;
  return (path, owner) => {
    if (!owner || !shown || owner === shown) return { href: path };
    return { href: linkFor(path, owner), onClick: () => actFor(owner) };
  };
}

function Matter({ entry }: { entry: Schemas["AttentionEntry"] }) {
  const linkTo = useBatchLink();
  const look = lookOf(entry);
  return (
    <li>
      <span className={`state ${look.tone}`}>
        <Icon name={look.icon} size={13} />
        {look.word}
      </span>
      <span className="text">
        {excerpt(entry.detail, 240)}
        {entry.at && (
          <span className="note">
            {" "}
            <Time at={entry.at} />
          </span>
        )}
      </span>
      <Link {...linkTo(look.path, entry.batch_id ? entry.owner : null)} className="button small" data-row="">
        {look.act}
      </Link>
    </li>
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

function Figures({ view, active }: { view: View; active: Batch[] }) {
  const now = useNow();
  const zone = useStore(timeZone);
  const { batches, items, system } = view;
  const last = Math.max(0, ...active.map((batch) => batch.eta_s ?? 0));
  const workers = system.find((part) => part.name === "worker");
  return (
    <div className="figures">
      <Link href="/batches?status=running" className="figure">
        <span className="name">Running</span>
        <span className="value">{whole(batches.running)}</span>
        <span className="more">
          {[batches.open > 0 && `${whole(batches.open)} open`, batches.paused && `${whole(batches.paused)} paused`]
            .filter(Boolean)
            .join(", ") || "none open or paused"}
        </span>
      </Link>
      <div className="figure">
        <span className="name">Items left</span>
        <span className="value">{short(items.remaining)}</span>
        <span className="more">{items.running != null ? `${short(items.running)} at work` : "in all batches"}</span>
      </div>
      <div className="figure">
        <span className="name">Throughput</span>
        <span className="value">{view.items_per_s > 0 ? perSecond(view.items_per_s) : "—"}</span>
        <span className="more">items ended</span>
      </div>
      <div className="figure">
        <span className="name">Ends about</span>
        <span className="value">{last > 0 ? clockTime(now + last * 1000, now, zone) : "—"}</span>
        <span className="more">{endWords(batches.running, active)}</span>
      </div>
      <Link href="/workers" className="figure">
        <span className="name">Workers</span>
        <span className={workers?.state === "away" ? "value bad" : "value"}>{workers?.instances ?? "—"}</span>
        <span className="more">{workers?.state === "away" ? "none is heard" : "alive"}</span>
      </Link>
    </div>
  );
}

/** Words below the time of the last end; an operator sees how many batches run, and the own ones of them. */
function endWords(running: number, own: Batch[]): string {
  if (running === 0) return "nothing runs";
  if (own.length === 0) return "none is yours";
  const unknown = own.filter((batch) => batch.eta_s == null).length;
  return unknown > 0 ? `${unknown} without an estimate` : "at this rate";
}

function LastEnded({ batches }: { batches: Batch[] }) {
  const linkTo = useBatchLink();
  return (
    <ul className="needs">
      {batches.slice(0, 6).map((batch) => (
        <li key={batch.batch_id}>
          <State name={batchState(batch)} />
          <span className="text">
            <Link {...linkTo(`/batches/${batch.batch_id}`, batch.owner)} data-row="">
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

function System({ parts }: { parts: Schemas["SystemPart"][] }) {
  return (
    <ul className="panel-body parts">
      {parts.map((part) => (
        <li key={part.name}>
          <span>{excerpt(part.name, 40)}</span>
          <State name={part.state} />
          {part.instances != null && part.instances > 1 && <span className="note">{part.instances} processes</span>}
          {!!part.messages && <span className="note">{countOf(part.messages, "message")} wait</span>}
        </li>
      ))}
    </ul>
  );
}
