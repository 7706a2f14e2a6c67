import { Link } from "wouter";
import { useDeliveries, useLineage } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { CopyButton, SameIn } from "../../ui/code";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { curl } from "../../ui/shell-text";
import { State } from "../../ui/state";
import { number, Table } from "../../ui/table";
import { excerpt, perSecond, visible } from "../../ui/text";
import { ExactTime, Time } from "../../ui/time";

type Batch = Schemas["BatchState"];

/** The terms of a batch, where it comes from, who is told of its end, and the same for other clients. */
export function Settings({ batch }: { batch: Batch }) {
  return (
    <div className="columns">
      <div className="stack">
        <Terms batch={batch} />
        <Lineage batch={batch} />
      </div>
      <div className="stack">
        <Deliveries batch={batch} />
        <Panel title="The same elsewhere">
          <div className="panel-body">
            <SameIn forms={formsOf(batch.batch_id)} />
          </div>
        </Panel>
      </div>
    </div>
  );
}

function formsOf(id: string): [string, string][] {
  return [
    [
      "CLI",
      `batchyard watch ${id}\nbatchyard failures ${id}\nbatchyard results ${id} --format csv --output results.csv`,
    ],
    ["curl", `${curl("GET", `/api/v1/batches/${id}`)}\n\n${curl("GET", `/api/v1/batches/${id}/results?format=csv`)}`],
    [
      "Python",
      [
        "import os",
        "",
        "from batchyard_contracts.client import Client",
        "",
        'async with Client.connect(os.environ["BATCHYARD_AMQP_URL"]) as client:',
        `    state = await client.batch("${id}")`,
        "    print(state.status, state.counts)",
      ].join("\n"),
    ],
  ];
}

function Terms({ batch }: { batch: Batch }) {
  const terms = batch.terms ?? {};
  const threshold = terms.failure_threshold;
  const bounds = threshold
    ? [
        threshold.count != null ? `more than ${threshold.count} items` : "",
        threshold.share != null ? `more than ${Math.round(threshold.share * 1000) / 10} %` : "",
        ...Object.entries(threshold.codes ?? {}).map(([code, count]) => `${code}: more than ${count}`),
      ].filter(Boolean)
    : [];
  return (
    <Panel title="Terms">
      <div className="panel-body">
        <dl className="facts">
          <dt>Id</dt>
          <dd className="row">
            <code>{batch.batch_id}</code>
            <CopyButton text={batch.batch_id} label="Copy the id" />
          </dd>
          <dt>Owner</dt>
          <dd>{visible(batch.owner)}</dd>
          <dt>Priority</dt>
          <dd>{batch.priority}</dd>
          <dt>Weight</dt>
          <dd>{terms.weight ?? "1"}</dd>
          <dt>Rate</dt>
          <dd>
            {terms.rate
              ? `${perSecond(terms.rate.per_second)}, ${terms.rate.burst ?? 1} at once`
              : "no limit of its own"}
          </dd>
          <dt>Items at once</dt>
          <dd>{terms.concurrency ?? "no limit of its own"}</dd>
          {terms.not_before && (
            <>
              <dt>Not before</dt>
              <dd>
                <ExactTime at={terms.not_before} />
              </dd>
            </>
          )}
          <dt>Deadline</dt>
          <dd>{terms.deadline ? <ExactTime at={terms.deadline} /> : "none"}</dd>
          <dt>Stops at failures</dt>
          <dd>{bounds.length ? bounds.join(", ") : "never"}</dd>
          {Object.entries(terms.retry ?? {}).map(([code, rule]) => (
            <RetryRule key={code} code={code} rule={rule as Schemas["RetryRule"]} />
          ))}
          <dt>Accepted</dt>
          <dd>
            <ExactTime at={batch.accepted_at} />
          </dd>
          {batch.finished_at && (
            <>
              <dt>Ended</dt>
              <dd>
                <ExactTime at={batch.finished_at} />
              </dd>
            </>
          )}
        </dl>
      </div>
    </Panel>
  );
}

function RetryRule({ code, rule }: { code: string; rule: Schemas["RetryRule"] }) {
  return (
    <>
      <dt>
        Retry <code>{visible(code)}</code>
      </dt>
      <dd>
        {rule.attempts ?? 4} attempts, {rule.base_s ?? 1} to {rule.cap_s ?? 300} s apart
      </dd>
    </>
  );
}

function Lineage({ batch }: { batch: Batch }) {
  const query = useLineage(batch.batch_id);
  return (
    <Panel title="Where it comes from">
      <Loaded query={query} lines={2}>
        {(found) => {
          const followers = found.followed_by ?? [];
          if (!found.schedule && !found.follows && !found.template && followers.length === 0) {
            return <Empty title="A client submitted it alone. No batch follows it." />;
          }
          return (
            <div className="panel-body">
              <dl className="facts">
                {found.schedule && (
                  <>
                    <dt>Schedule</dt>
                    <dd>
                      <Link href={`/schedules/${found.schedule}`}>{found.schedule}</Link>
                      {found.nominal_at && (
                        <>
                          , due <ExactTime at={found.nominal_at} />
                        </>
                      )}
                    </dd>
                  </>
                )}
                {found.template && (
                  <>
                    <dt>Template</dt>
                    <dd>
                      <Link href={`/templates/${found.template}`}>{found.template}</Link>
                      {found.template_version != null && `, version ${found.template_version}`}
                    </dd>
                  </>
                )}
                {found.follows && (
                  <>
                    <dt>Follows</dt>
                    <dd>
                      <Link href={`/batches/${found.follows}`}>{found.follows}</Link>
                    </dd>
                  </>
                )}
                {followers.map((each) => (
                  <div key={`${each.template}${each.batch_id}`} style={{ display: "contents" }}>
                    <dt>Followed by</dt>
                    <dd className="row">
                      {each.batch_id ? (
                        <Link href={`/batches/${each.batch_id}`}>{each.template}</Link>
                      ) : (
                        <span>{each.template}</span>
                      )}
                      <State name={each.state} />
                      {each.reason && <span className="note">{excerpt(each.reason, 200)}</span>}
                    </dd>
                  </div>
                ))}
              </dl>
            </div>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function Deliveries({ batch }: { batch: Batch }) {
  const query = useDeliveries(batch.batch_id, batch.status !== "finished");
  return (
    <Panel title="Notifications">
      <Loaded query={query} lines={2}>
        {({ deliveries = [] }) =>
          deliveries.length === 0 ? (
            <Empty title={batch.status === "finished" ? "Nobody was to be told of the end" : "None has been sent yet"}>
              <p>At its end a batch notifies the webhooks and e-mail addresses that it named when it was submitted.</p>
            </Empty>
          ) : (
            <Table label="Notifications" columns={["State", "To", number("Attempts")]}>
              {deliveries.map((each) => (
                <tr key={`${each.round}${each.kind}${each.target}`}>
                  <td data-label="State">
                    <State name={each.state} />
                  </td>
                  <td data-label="To">
                    <div>
                      {excerpt(each.target, 160)}
                      <span className="sub">
                        {each.kind === "email" ? "e-mail" : "webhook"}, round {each.round}
                        {each.status != null && ` · status ${each.status}`}
                        {each.error && ` · ${excerpt(each.error, 160)}`}
                        {each.state === "pending" && each.next_attempt_at && (
                          <>
                            {" · next try "}
                            <Time at={each.next_attempt_at} />
                          </>
                        )}
                      </span>
                    </div>
                  </td>
                  <td data-label="Attempts" className="number">
                    {each.attempts ?? 0}
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </Panel>
  );
}
