import { useEffect, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { useBatch, useControl, useFailures, useRenewal } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { ApiError } from "../../api/client";
import { useScope } from "../../app/access";
import { useKeys } from "../../app/keys";
import { useBatchTopic } from "../../live/topics";
import { Confirm } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { PageHead, ScopedButton } from "../../ui/page";
import { Empty, ErrorMessage, Skeleton, StaleNote } from "../../ui/panel";
import { endedOf, Progress, ProgressLegend, percentOf } from "../../ui/progress";
import { batchState, State } from "../../ui/state";
import { countOf, visible, whole } from "../../ui/text";
import { Time } from "../../ui/time";
import { nameOfBatch } from "../batches/batch-table";
import { ChangePanel } from "./change-panel";
import { Failures } from "./failures";
import { Items } from "./items";
import { Notice, Outlook } from "./outlook";
import { Reasons } from "./reasons";
import { FirstResults, Results } from "./results";
import { Retry } from "./retry";
import { Series } from "./series";
import { Settings } from "./settings";
import { Summary } from "./summary";
import { TimelinePanel } from "./timeline";

type Batch = Schemas["BatchState"];

const TABS = [
  ["", "Overview"],
  ["failures", "Failures"],
  ["items", "Items"],
  ["results", "Results"],
  ["settings", "Settings"],
] as const;

export default function BatchPage() {
  const { id = "", tab = "" } = useParams<{ id: string; tab?: string }>();
  const isId = /^[0-9a-f-]{36}$/i.test(id);
  if (!isId) return <NotFound />;
  return <Found id={id.toLowerCase()} tab={tab} />;
}

function NotFound() {
  return (
    <>
      <PageHead title="There is no such batch" tab="Not found" back={["/batches", "Batches"]} />
      <Empty title="It does not exist, or it belongs to another owner.">
        <p>Batches that have ended stay until their retention has passed.</p>
        <Link href="/batches" className="button">
          All batches
        </Link>
      </Empty>
    </>
  );
}

function Found({ id, tab }: { id: string; tab: string }) {
  const query = useBatch(id);
  const batch = query.data;
  const progress = useBatchTopic(id);

  if (batch === undefined) {
    if (query.error instanceof ApiError && query.error.status === 404) return <NotFound />;
    return query.error ? <ErrorMessage error={query.error} onRetry={() => query.refetch()} /> : <Skeleton lines={9} />;
  }
  return (
    <>
      <StaleNote query={query} />
      <KnownBatch key={id} batch={batch} progress={progress} tab={tab} />
    </>
  );
}

function KnownBatch({ batch, progress, tab }: { batch: Batch; progress: number | null; tab: string }) {
  const id = batch.batch_id;
  const [, go] = useLocation();
  const running = batch.status !== "finished";
  const failures = useFailures(id, running && (batch.counts.failed ?? 0) > 0);
  const [open, setOpen] = useState<"cancel" | "retry" | "change" | null>(null);
  const [causes, setCauses] = useState<string[]>([]);
  const control = useControl(id);
  const write = useScope("batches:write");
  const current = TABS.findIndex(([name]) => name === tab);
  const to = (at: number) => {
    const target = TABS[at]?.[0];
    if (target !== undefined) go(target === "" ? `/batches/${id}` : `/batches/${id}/${target}`);
  };
  const pauseOrResume = () => {
    if (running && write.allowed) control.mutate(batch.status === "paused" ? "resume" : "pause");
  };
  const retry = (selected: string[]) => {
    setCauses(selected);
    setOpen("retry");
  };
  useKeys({
    p: pauseOrResume,
    r: () => !running && canRetry(batch) && retry([]),
    "[": () => to(current - 1),
    "]": () => to(current + 1),
  });
  useTabTitle(batch);
  useRenewal(batch);
  const ended = endedOf(batch.counts);
  return (
    <>
      <PageHead
        title={nameOfBatch(batch)}
        tab={nameOfBatch(batch)}
        back={["/batches", "Batches"]}
        lead={
          <span className="row">
            <State name={batchState(batch)} />
            <Link href={`/workloads/${batch.workload}`}>{batch.workload}</Link>
            {batch.priority !== "normal" && <span className="tag">{batch.priority}</span>}
            {batch.round > 1 && <span className="tag">round {batch.round}</span>}
            {Object.entries(batch.labels ?? {}).map(([key, value]) => (
              <Link key={key} href={`/batches?label=${encodeURIComponent(`${key}=${value}`)}`} className="tag">
                {visible(`${key}=${value}`)}
              </Link>
            ))}
            <span>
              accepted <Time at={batch.accepted_at} />
            </span>
          </span>
        }
      >
        {batch.status === "open" && (
          <ScopedButton {...write} onClick={() => control.mutate("seal")} title="Close the batch to further items">
            Seal
          </ScopedButton>
        )}
        {running && (
          <>
            <ScopedButton {...write} onClick={pauseOrResume}>
              <Icon name={batch.status === "paused" ? "running" : "paused"} size={14} />
              {batch.status === "paused" ? "Resume" : "Pause"}
            </ScopedButton>
            <ScopedButton {...write} onClick={() => setOpen("change")}>
              Change…
            </ScopedButton>
            <ScopedButton {...write} className="button danger" onClick={() => setOpen("cancel")}>
              Cancel…
            </ScopedButton>
          </>
        )}
        {!running && canRetry(batch) && (
          <ScopedButton {...write} className="button primary" onClick={() => retry([])}>
            <Icon name="retry" size={14} />
            {(batch.counts.failed ?? 0) > 0 ? "Retry failed…" : "Retry…"}
          </ScopedButton>
        )}
      </PageHead>

      <section className="panel batch-head" aria-label="Progress">
        <div className="between">
          <span className="percent">{percentOf(batch.counts, !running) ?? "growing"}</span>
          <Outlook batch={batch} />
        </div>
        <Progress counts={batch.counts} progress={progress} finished={!running} large />
        <div className="between">
          <ProgressLegend counts={batch.counts} />
          <span className="note">
            {whole(ended)} of{" "}
            {batch.counts.total == null ? "an open number of items" : countOf(batch.counts.total, "item")}
            {batch.counts.units &&
              ` · ${whole(batch.counts.units.done ?? 0)}${
                batch.counts.units.total == null ? "" : ` of ${whole(batch.counts.units.total)}`
              } ${batch.counts.units.name}`}
          </span>
        </div>
      </section>
      <Notice batch={batch} />

      <nav className="tabs" aria-label="Parts of the batch">
        {TABS.map(([name, word]) => (
          <Link
            key={name}
            href={name === "" ? `/batches/${id}` : `/batches/${id}/${name}`}
            aria-current={name === tab ? "page" : undefined}
          >
            {word}
            {name === "failures" && (batch.counts.failed ?? 0) > 0 && (
              <span className="badge">{whole(batch.counts.failed ?? 0)}</span>
            )}
          </Link>
        ))}
      </nav>

      {tab === "" && (
        <div className="columns">
          <div className="stack">
            {running && <Reasons batch={batch} />}
            <Series batch={batch} />
            <Failures query={failures} batch={batch} onRetry={retry} short />
          </div>
          <div className="stack">
            {(batch.summary != null || batch.summary_error) && <Summary batch={batch} />}
            <FirstResults batch={batch} />
            <TimelinePanel batch={batch} />
          </div>
        </div>
      )}
      {tab === "failures" && <Failures query={failures} batch={batch} onRetry={retry} />}
      {tab === "items" && <Items batch={batch} />}
      {tab === "results" && <Results batch={batch} />}
      {tab === "settings" && <Settings batch={batch} />}
      {current < 0 && <Empty title="This batch has no such part." />}

      {open === "cancel" && (
        <Confirm
          title="Cancel this batch?"
          act={`Cancel ${countOf(batch.counts.remaining ?? 0, "item")}`}
          danger
          busy={control.isPending}
          onClose={() => setOpen(null)}
          onAct={() => {
            control.mutate("cancel");
            setOpen(null);
          }}
        >
          <p>
            {countOf(batch.counts.remaining ?? 0, "item")} will not run; those that run now are interrupted. The{" "}
            {countOf(ended, "outcome")} that are there stay, and the batch can be retried later.
          </p>
        </Confirm>
      )}
      {open === "retry" && (
        <Retry batch={batch} groups={failures.data?.groups ?? []} causes={causes} onClose={() => setOpen(null)} />
      )}
      {open === "change" && <ChangePanel batch={batch} onClose={() => setOpen(null)} />}
    </>
  );
}

export function canRetry({ counts }: Batch): boolean {
  return (counts.failed ?? 0) + (counts.expired ?? 0) + (counts.cancelled ?? 0) > 0;
}

function useTabTitle(batch: Batch): void {
  const share = percentOf(batch.counts, false);
  const word = batch.status === "finished" ? (batch.result ?? "finished") : (share ?? "growing");
  const name = nameOfBatch(batch);
  useEffect(() => {
    document.title = `${word} · ${name} · Batchyard`;
  }, [word, name]);
}
