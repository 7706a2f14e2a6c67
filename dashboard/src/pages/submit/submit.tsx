import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { ApiError, idempotencyKey, type Schemas } from "../../api/client";
import { useWorkloads } from "../../api/queries";
import { useScope } from "../../app/access";
import { SchemaForm } from "../../schema/form";
import { type Draft, draftOf, fieldsOf, type JsonSchema, objectOf } from "../../schema/reader";
import { SameIn } from "../../ui/code";
import { Icon } from "../../ui/icon";
import { Field, PageHead } from "../../ui/page";
import { Command, Empty, ErrorMessage, Loaded, Panel } from "../../ui/panel";
import { curl, quoted } from "../../ui/shell-text";
import { bytes, countOf, excerpt } from "../../ui/text";
import { say } from "../../ui/toast";
import { Words } from "../../ui/words";
import { CheckResult } from "./check-result";
import { FileOrText } from "./file-or-text";
import { type Format, formatOf, readPasted } from "./items";
import { NO_OPTIONS, OptionFields, type Options } from "./options";
import { checkFile, checkItems, sendFile, sendItems } from "./send";

type Workload = Schemas["WorkloadView"];
type Way = "form" | "text";

export default function Submit() {
  const query = useWorkloads();
  return (
    <>
      <PageHead title="Submit a batch" tab="Submit" />
      <Loaded query={query} lines={8}>
        {({ workloads }) =>
          workloads.length === 0 ? (
            <Empty title="No worker has announced a workload">
              <p>A batch needs a workload to run. Start a worker:</p>
              <Command text="python -m services.worker" />
            </Empty>
          ) : (
            <Chosen workloads={workloads} />
          )
        }
      </Loaded>
    </>
  );
}

function Chosen({ workloads }: { workloads: Workload[] }) {
  const [params, setParams] = useSearchParams();
  const name = params.get("workload") ?? "";
  const workload =
    workloads.find((each) => each.name === name) ?? workloads.find((each) => each.workers !== 0) ?? workloads[0];
  if (!workload) return null;
  return (
    <SubmitForm
      key={workload.name}
      workload={workload}
      chooser={
        <Field id="workload" label="Workload" hint={<Words text={workload.description} />}>
          <select
            id="workload"
            value={workload.name}
            onChange={(event) => setParams({ workload: event.target.value }, { replace: true })}
          >
            {workloads.map((each) => (
              <option key={each.name} value={each.name}>
                {each.title && each.title !== each.name ? `${each.title} (${each.name})` : each.name}
                {each.workers === 0 ? ", no workers" : ""}
              </option>
            ))}
          </select>
        </Field>
      }
    />
  );
}

function SubmitForm({ workload, chooser }: { workload: Workload; chooser: React.ReactNode }) {
  const [, go] = useLocation();
  const write = useScope("batches:write");
  const [way, setWay] = useState<Way>("form");
  const [draft, setDraft] = useState<Draft>({});
  const [shown, setShown] = useState(false);
  const [customId, setCustomId] = useState("");
  const [text, setText] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const [options, setOptions] = useState<Options>(NO_OPTIONS);
  const key = useRef(idempotencyKey());
  const form = useRef<HTMLFormElement>(null);
  const fields = useMemo(() => fieldsOf(workload.item_schema as JsonSchema), [workload.item_schema]);
  const { value, wrong } = objectOf(fields, draft);
  const pasted = useMemo(() => readPasted(text), [text]);
  const isWrong =
    way === "form" ? Object.keys(wrong).length > 0 : file === null && (pasted.count === 0 || pasted.wrong !== null);

  const item = { payload: value, ...(customId ? { custom_id: customId } : {}) } as Schemas["NewItem"];
  const content = async (): Promise<[Blob, Format]> => {
    if (file === null) return [new Blob([pasted.text]), pasted.format];
    const format = formatOf(file.name) ?? "ndjson";
    if (format !== "json") return [file, format];
    const read = readPasted(await file.text());
    if (read.wrong) throw new ApiError(422, "invalid_items", read.wrong);
    return [new Blob([read.text]), "ndjson"];
  };
  const check = useMutation({
    mutationFn: async () =>
      way === "form"
        ? checkItems(workload.name, [item], options)
        : checkFile(workload.name, ...(await content()), options),
  });
  const act = useMutation({
    mutationFn: async () =>
      way === "form"
        ? sendItems(workload.name, [item], options, key.current)
        : sendFile(workload.name, ...(await content()), options, key.current),
    onSuccess: (id) => {
      say("Accepted");
      go(`/batches/${id}`);
    },
  });
  // Another content is another submission: its key may not be that of a refused one.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of any of these makes a new key
  useEffect(() => {
    key.current = idempotencyKey();
    check.reset();
  }, [draft, customId, text, file, options, way]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setShown(true);
    if (isWrong) {
      const first = Object.keys(wrong)[0];
      if (way === "form" && first) document.getElementById(`item-${first}`)?.focus();
      return;
    }
    if (write.allowed && !act.isPending) act.mutate();
  };
  return (
    <form
      ref={form}
      className="submit-layout"
      noValidate
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.current?.requestSubmit();
      }}
    >
      <div className="stack">
        <Panel title="What runs">
          <div className="panel-body">{chooser}</div>
        </Panel>
        <Panel
          title="Items"
          end={
            <fieldset className="segmented" aria-label="Way to give items">
              <button type="button" aria-pressed={way === "form"} onClick={() => setWay("form")}>
                One item
              </button>
              <button type="button" aria-pressed={way === "text"} onClick={() => setWay("text")}>
                File or text
              </button>
            </fieldset>
          }
        >
          <div className="panel-body stack">
            {way === "form" ? (
              <>
                <SchemaForm
                  fields={fields}
                  draft={draft}
                  onChange={setDraft}
                  wrong={shown ? wrong : {}}
                  prefix="item"
                />
                <div className="row">
                  <button
                    type="button"
                    className="button small"
                    onClick={() => setDraft(draftOf(fields, workload.example as Record<string, unknown>))}
                  >
                    Fill in the example
                  </button>
                </div>
                <details>
                  <summary className="note">Custom id</summary>
                  <Field id="custom-id" label="Custom id" hint="Repeated in the result, to find the item again">
                    <input
                      id="custom-id"
                      maxLength={128}
                      value={customId}
                      onChange={(event) => setCustomId(event.target.value)}
                    />
                  </Field>
                </details>
              </>
            ) : (
              <FileOrText text={text} setText={setText} pasted={pasted} file={file} setFile={setFile} />
            )}
          </div>
        </Panel>
        <details className="panel fold">
          <summary>
            <Icon name="next" size={13} />
            Options
            <span className="note">name, labels, rate, deadline, notification</span>
          </summary>
          <div className="panel-body">
            <OptionFields options={options} onChange={setOptions} />
          </div>
        </details>
      </div>
      <aside className="stack">
        <Panel title="Ready?">
          <div className="panel-body stack">
            <Check
              way={way}
              count={way === "form" ? 1 : pasted.count}
              wrong={wrong}
              file={file}
              pastedWrong={pasted.wrong}
            />
            {workload.workers === 0 && (
              <div className="callout warn">
                <Icon name="warning" />
                <span>No worker runs this workload now. The batch waits until one does.</span>
              </div>
            )}
            {check.error && <ErrorMessage error={check.error} />}
            {check.data && <CheckResult check={check.data} />}
            {act.error && <ErrorMessage error={act.error} />}
            {!write.allowed && <p className="note">{write.why}</p>}
            <div className="row">
              <button type="submit" className="button primary" disabled={act.isPending || !write.allowed}>
                {act.isPending ? "Sending …" : "Submit"}
              </button>
              <button
                type="button"
                className="button"
                disabled={check.isPending || !write.allowed || isWrong}
                title={isWrong ? "There is nothing to check yet" : "Checks all items, and stores nothing"}
                onClick={() => check.mutate()}
              >
                {check.isPending ? "Checking …" : "Check"}
              </button>
            </div>
            <p className="note">
              <kbd>Ctrl</kbd> <kbd>Enter</kbd> submits. The page of the batch opens then.
            </p>
          </div>
        </Panel>
        <Panel title="The same elsewhere">
          <div className="panel-body">
            <SameIn forms={formsOf(workload, way, value, options)} />
          </div>
        </Panel>
      </aside>
    </form>
  );
}

function formsOf(workload: Workload, way: Way, value: Record<string, unknown>, options: Options): [string, string][] {
  const payload = Object.keys(value).length > 0 ? value : workload.example;
  const what = way === "form" ? `--item ${quoted(JSON.stringify(payload))}` : "items.ndjson";
  const name = options.name ? ` --name ${quoted(options.name)}` : "";
  return [
    ["CLI", `batchyard submit ${workload.name} ${what}${name} --watch`],
    ["CLI, check alone", `batchyard submit ${workload.name} ${what}${name} --dry-run`],
    [
      "curl",
      way === "form"
        ? curl("POST", "/api/v1/batches", { workload: workload.name, items: [{ payload }] })
        : [
            `curl -X POST "$BATCHYARD_URL/api/v1/batches?workload=${workload.name}"`,
            '-H "Authorization: Bearer $BATCHYARD_TOKEN"',
            "-H 'Content-Type: application/x-ndjson'",
            "-T items.ndjson",
          ].join(" \\\n  "),
    ],
  ];
}

function Check({
  way,
  count,
  wrong,
  file,
  pastedWrong,
}: {
  way: Way;
  count: number;
  wrong: Record<string, string>;
  file: File | null;
  pastedWrong: string | null;
}) {
  const missing = Object.keys(wrong).length;
  if (way === "form") {
    return missing > 0 ? (
      <p className="note">{countOf(missing, "field needs", "fields need")} a value.</p>
    ) : (
      <div className="callout good">
        <Icon name="completed" />
        <span>One item, ready to run.</span>
      </div>
    );
  }
  if (file) {
    return (
      <p>
        <b>{excerpt(file.name, 80)}</b>
        <br />
        <span className="note">{bytes(file.size)}, sent as it is. Each item is checked while it arrives.</span>
      </p>
    );
  }
  if (pastedWrong) return <p className="note">{pastedWrong}</p>;
  if (count === 0) return <p className="note">Drop a file, or paste items.</p>;
  return (
    <div className="callout good">
      <Icon name="completed" />
      <span>{countOf(count, "item")} found.</span>
    </div>
  );
}
