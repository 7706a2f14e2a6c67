import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "wouter";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useScope } from "../../app/access";
import { fieldsOf, type JsonSchema, typeWords } from "../../schema/reader";
import { Json, SameIn } from "../../ui/code";
import { Confirm } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { PageHead, ScopedButton } from "../../ui/page";
import { Loaded, Panel } from "../../ui/panel";
import { curl, quoted } from "../../ui/shell-text";
import { State } from "../../ui/state";
import { Table } from "../../ui/table";
import { countOf, excerpt } from "../../ui/text";
import { Time } from "../../ui/time";
import { say } from "../../ui/toast";
import { Words } from "../../ui/words";

export default function WorkloadPage() {
  const { name = "" } = useParams<{ name: string }>();
  const query = useQuery({
    queryKey: ["workload", name],
    queryFn: ({ signal }) => bodyOf(api.GET("/api/v1/workloads/{name}", { params: { path: { name } }, signal })),
  });
  return (
    <>
      <PageHead
        title={query.data?.title || name}
        tab={query.data?.title || name}
        back={["/workloads", "Workloads"]}
        lead={query.data && <Words text={query.data.description} length={4_000} />}
      >
        <Link href={`/submit?workload=${name}`} className="button primary">
          <Icon name="submit" size={14} />
          Submit
        </Link>
      </PageHead>
      <Loaded query={query} lines={8}>
        {(workload) => <Found workload={workload} />}
      </Loaded>
    </>
  );
}

function Found({ workload }: { workload: Schemas["WorkloadView"] }) {
  const { name } = workload;
  const example = JSON.stringify(workload.example);
  return (
    <div className="columns">
      <div className="stack">
        <Panel title="An item">
          <SchemaTable schema={workload.item_schema as JsonSchema} isInput />
        </Panel>
        <Panel title="Its result">
          <SchemaTable schema={workload.result_schema as JsonSchema} />
        </Panel>
      </div>
      <div className="stack">
        <Panel title="At a glance">
          <div className="panel-body">
            <dl className="facts">
              <dt>State</dt>
              <dd>
                <State name={workload.workers === 0 ? "absent" : "active"} />
              </dd>
              <dt>Name</dt>
              <dd>
                <code>{name}</code>, version {excerpt(workload.version, 40)}
              </dd>
              {workload.workers != null && (
                <>
                  <dt>Workers</dt>
                  <dd>{countOf(workload.workers, "worker")}</dd>
                </>
              )}
              <dt>Announced</dt>
              <dd>
                <Time at={workload.announced_at} />
              </dd>
              <dt>Exports</dt>
              <dd>{["json", "ndjson", "csv", ...Object.keys(workload.exports)].join(", ")}</dd>
              <dt>Destinations</dt>
              <dd>
                <Link href={`/destinations?workload=${name}`}>rates and reasons</Link>
              </dd>
              <dt>Batches</dt>
              <dd>
                <Link href={`/batches?workload=${name}`}>of this workload</Link>
              </dd>
            </dl>
          </div>
        </Panel>
        <Panel title="Example of an item">
          <div className="panel-body stack">
            <Json value={workload.example} label="example" />
            <SameIn
              forms={[
                ["CLI", `batchyard submit ${name} --item ${quoted(example)} --watch`],
                ["curl", curl("POST", "/api/v1/batches", { workload: name, items: [{ payload: workload.example }] })],
              ]}
            />
          </div>
        </Panel>
        <Cache name={name} />
      </div>
    </div>
  );
}

/** The fields of a schema. Those of an item tell which ones it needs; those of a result are there in any case. */
function SchemaTable({ schema, isInput = false }: { schema: JsonSchema; isInput?: boolean }) {
  const fields = fieldsOf(schema);
  const areExplained = fields.some((field) => field.schema.description);
  return (
    <>
      {fields.length === 0 ? (
        <p className="message">Any JSON fits.</p>
      ) : (
        <Table className="fields" label="Fields" columns={["Field", "Type", ...(areExplained ? ["Meaning"] : [])]}>
          {fields.map((field) => (
            <tr key={field.name}>
              <td data-label="Field">
                <span>
                  <code>{excerpt(field.name, 80)}</code>
                  {isInput && field.required && <span className="sub">required</span>}
                </span>
              </td>
              <td data-label="Type">
                <span className="quiet">{excerpt(typeWords(field), 120)}</span>
              </td>
              {areExplained && (
                <td data-label="Meaning">
                  <span>
                    <Words text={field.schema.description ?? ""} length={300} />
                  </span>
                </td>
              )}
            </tr>
          ))}
        </Table>
      )}
      <details className="fold">
        <summary>
          <Icon name="next" size={13} /> Whole schema
        </summary>
        <div className="panel-body">
          <Json value={schema} label="schema" />
        </div>
      </details>
    </>
  );
}

function Cache({ name }: { name: string }) {
  const operate = useScope("operate");
  const [asks, setAsks] = useState(false);
  const act = useMutation({
    mutationFn: () =>
      bodyOf(
        api.POST("/api/v1/workloads/{name}/invalidate-cache", {
          params: { path: { name } },
          body: {} as Schemas["InvalidateCacheRequest"],
        }),
      ),
    onSuccess: () => say("All cached results of this workload are invalid"),
    onError: (error) => say(error.message, "bad"),
  });
  return (
    <Panel title="Result cache">
      <div className="message">
        <p>Results that are cached answer the same item again, for all owners.</p>
        <ScopedButton {...operate} onClick={() => setAsks(true)}>
          Invalidate all…
        </ScopedButton>
      </div>
      {asks && (
        <Confirm
          title={`Invalidate the cached results of ${name}?`}
          act="Invalidate"
          danger
          onClose={() => setAsks(false)}
          onAct={() => {
            act.mutate();
            setAsks(false);
          }}
        >
          <p>Every item is computed anew from now on, which takes calls and time. Outcomes of batches stay.</p>
        </Confirm>
      )}
    </Panel>
  );
}
