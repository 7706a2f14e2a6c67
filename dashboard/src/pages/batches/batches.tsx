import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import type { Schemas } from "../../api/client";
import { type BatchFilter, useBatches, useWorkloads } from "../../api/queries";
import { useScope } from "../../app/access";
import { useFilters } from "../../app/filters";
import { useKeys } from "../../app/keys";
import { useBatchesTopic } from "../../live/topics";
import { Icon } from "../../ui/icon";
import { Field, PageHead, ScopedButton } from "../../ui/page";
import { Pager } from "../../ui/pager";
import { Command, Empty, Loaded, Panel } from "../../ui/panel";
import { countOf } from "../../ui/text";
import { BatchTable } from "./batch-table";
import { bulkFilter } from "./bulk";
import { BulkDialog } from "./bulk-dialog";
import { held } from "./fresh";

type Batch = Schemas["BatchState"];

const PAGE = 50;
const NAMES = ["q", "status", "result", "workload", "label"] as const;
const STATUSES = ["open", "running", "paused", "finished"];
const RESULTS = ["completed", "partial", "failed", "cancelled"];

export default function Batches() {
  const [params, change] = useFilters();
  const [, go] = useLocation();
  const before = params.get("before") ?? undefined;
  const filter: BatchFilter = {
    status: (params.get("status") ?? undefined) as BatchFilter["status"],
    result: (params.get("result") ?? undefined) as BatchFilter["result"],
    workload: params.get("workload") ?? undefined,
    q: params.get("q") ?? undefined,
    label: params.getAll("label"),
    before,
    limit: PAGE,
  };
  const isLive = useBatchesTopic();
  const query = useBatches(filter, isLive ? 15_000 : 3_000);
  const [acts, setActs] = useState(false);
  const write = useScope("batches:write");
  const bulk = bulkFilter(filter);
  const isFiltered = NAMES.some((name) => params.get(name));
  const next = query.data?.next_before ?? undefined;
  const turn = (cursor: string | null) => {
    change({ before: cursor });
    scrollTo(0, 0);
  };
  useKeys({
    "]": () => next && turn(next),
    "[": () => before && turn(null),
  });
  return (
    <>
      <PageHead title="Batches" tab="Batches">
        <ScopedButton
          allowed={write.allowed && bulk !== null}
          why={write.allowed ? "Choose a filter first: no action is for all batches" : write.why}
          onClick={() => setActs(true)}
          title="One command for all batches that match"
        >
          Act on all…
        </ScopedButton>
        <Link href="/submit" className="button primary">
          <Icon name="submit" size={14} />
          Submit
        </Link>
      </PageHead>
      <Filters />
      {acts && bulk && <BulkDialog filter={bulk} onClose={() => setActs(false)} />}
      <Panel
        title={isFiltered ? "Batches that match" : "All batches"}
        busy={query.isFetching && query.isPlaceholderData}
      >
        <Loaded query={query} lines={10}>
          {(data) =>
            data.batches.length === 0 ? (
              isFiltered || before ? (
                <Empty title="Nothing matches">
                  <p>No batch of yours has all of these properties.</p>
                  <button type="button" className="button" onClick={() => go("/batches")}>
                    Clear the filters
                  </button>
                </Empty>
              ) : (
                <NoBatches />
              )
            ) : (
              <HeldTable
                key={`${params} ${query.isPlaceholderData}`}
                batches={data.batches}
                isFirst={before === undefined}
              />
            )
          }
        </Loaded>
        {(next || before) && (
          <Pager start={["Newest", before ? () => turn(null) : null]} on={["Older", next ? () => turn(next) : null]} />
        )}
      </Panel>
    </>
  );
}

function NoBatches() {
  return (
    <Empty title="There are no batches yet">
      <p>A batch is a set of items for one workload. Submit one here, or from a shell:</p>
      <Command text={`batchyard submit noop --item '{"n": 7}' --watch`} />
      <Link href="/submit" className="button primary">
        Submit a batch
      </Link>
    </Empty>
  );
}

/** The table of a page. On the first page, new batches wait until the reader asks for them. */
function HeldTable({ batches, isFirst }: { batches: Batch[]; isFirst: boolean }) {
  const ids = batches.map((batch) => batch.batch_id);
  const [shown, setShown] = useState(ids);
  const last = useRef(new Map<string, Batch>());
  const { rows, fresh, gone } = held(shown, batches, last.current, (batch) => batch.batch_id);
  useEffect(() => {
    last.current = new Map(rows.map((batch) => [batch.batch_id, batch]));
  });
  return (
    <>
      {(gone > 0 || (isFirst && fresh > 0)) && (
        <div className="panel-body">
          <button type="button" className="button small" onClick={() => setShown(ids)}>
            <Icon name="growing" size={13} />
            {[
              isFirst && fresh > 0 && countOf(fresh, "new batch", "new batches"),
              gone > 0 && `${countOf(gone, "row")} as last seen`,
            ]
              .filter(Boolean)
              .join(", ")}{" "}
            — renew
          </button>
        </div>
      )}
      <BatchTable batches={rows} label="Batches" />
    </>
  );
}

function Filters() {
  const [params, change] = useFilters();
  const workloads = useWorkloads();
  const [text, setText] = useState(params.get("q") ?? "");
  const given = params.get("q") ?? "";
  const timer = useRef(0);
  useEffect(() => setText(given), [given]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const set = (field: (typeof NAMES)[number], value: string) =>
    change({ [field]: value, before: null }, { replace: true });
  const choices = (workloads.data?.workloads ?? []).map((each) => each.name);
  const workload = params.get("workload") ?? "";
  return (
    <search className="filters">
      <Field id="filter-text" label="Search" wide>
        <input
          id="filter-text"
          type="search"
          data-filter=""
          placeholder="part of the name or of a label"
          value={text}
          onChange={(event) => {
            const value = event.target.value;
            setText(value);
            clearTimeout(timer.current);
            timer.current = window.setTimeout(() => set("q", value.trim()), 250);
          }}
        />
      </Field>
      <Choice name="status" label="Status" values={STATUSES} value={params.get("status") ?? ""} onChange={set} />
      <Choice name="result" label="Result" values={RESULTS} value={params.get("result") ?? ""} onChange={set} />
      <Choice
        name="workload"
        label="Workload"
        values={workload && !choices.includes(workload) ? [workload, ...choices] : choices}
        value={workload}
        onChange={set}
      />
      <LabelFilter value={params.get("label") ?? ""} onChange={(value) => set("label", value)} />
    </search>
  );
}

function Choice({
  name,
  label,
  values,
  value,
  onChange,
}: {
  name: (typeof NAMES)[number];
  label: string;
  values: string[];
  value: string;
  onChange: (name: (typeof NAMES)[number], value: string) => void;
}) {
  return (
    <Field id={`filter-${name}`} label={label}>
      <select id={`filter-${name}`} value={value} onChange={(event) => onChange(name, event.target.value)}>
        <option value="">any</option>
        {values.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </Field>
  );
}

function LabelFilter({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const isWhole = text === "" || /^[^=]+=/.test(text);
  const take = () => text !== value && isWhole && onChange(text);
  return (
    <Field id="filter-label" label="Label">
      <input
        id="filter-label"
        placeholder="key=value"
        value={text}
        aria-invalid={!isWhole}
        onChange={(event) => setText(event.target.value)}
        onBlur={take}
        onKeyDown={(event) => event.key === "Enter" && take()}
      />
    </Field>
  );
}
