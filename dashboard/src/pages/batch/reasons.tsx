import { Link } from "wouter";
import { useReasons } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { number, Table } from "../../ui/table";
import { countOf, excerpt, short, whole } from "../../ui/text";
import { Time, useNow } from "../../ui/time";
import { Words } from "../../ui/words";

const SHORT_MS = 3_000;

/** Everything that holds back the items of a batch that runs, what holds back most first. */
export function Reasons({ batch }: { batch: Schemas["BatchState"] }) {
  const query = useReasons(batch.batch_id);
  const now = useNow();
  return (
    <Panel title="Why not faster?">
      <Loaded query={query} lines={3}>
        {(found) => {
          const { reasons = [], destinations = [], share, retries = 0, in_flight: out = 0, waiting = 0 } = found;
          if (!found.found) return <Empty title="It has ended, or begins in a moment" />;
          return (
            <>
              <p className="panel-body note">
                {countOf(out, "item")} in flight, {whole(waiting)}
                {found.more_waiting && " or more"} waiting
                {retries > 0 && (
                  <>
                    , {whole(retries)} for another attempt
                    {found.next_retry_at && (
                      <>
                        {" "}
                        (the next <Time at={found.next_retry_at} />)
                      </>
                    )}
                  </>
                )}
                {share?.place != null &&
                  share.batches > 1 &&
                  `, number ${share.place} of ${share.batches} batches in line`}
              </p>
              {reasons.length === 0 ? (
                <Empty title="Nothing holds it back" />
              ) : (
                <ol className="needs">
                  {reasons.map((reason) => (
                    <li key={`${reason.code}${reason.partition ?? ""}${reason.detail}`}>
                      <span className="text">
                        <Words text={reason.detail} length={300} />
                        <span className="note">
                          {reason.items != null && ` · ${countOf(reason.items, "item")}`}
                          {reason.until && Date.parse(reason.until) > now + SHORT_MS && (
                            <>
                              {" · ends "}
                              <Time at={reason.until} />
                            </>
                          )}
                        </span>
                      </span>
                      {reason.partition != null && (
                        <Link
                          href={`/destinations?workload=${batch.workload}&q=${encodeURIComponent(reason.partition)}`}
                          className="button small"
                        >
                          Rate
                        </Link>
                      )}
                    </li>
                  ))}
                </ol>
              )}
              {destinations.length > 1 && (
                <Destinations destinations={destinations} more={found.more_destinations ?? 0} />
              )}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function Destinations({ destinations, more }: { destinations: Schemas["DestinationState"][]; more: number }) {
  return (
    <>
      <Table label="Destinations of the batch" columns={["Destination", number("In flight"), number("Waiting")]}>
        {destinations.slice(0, 8).map((each) => (
          <tr key={each.partition}>
            <td data-label="Destination">{excerpt(each.partition, 100)}</td>
            <td data-label="In flight" className="number">
              {short(each.in_flight ?? 0)}
            </td>
            <td data-label="Waiting" className="number">
              {short(each.waiting ?? 0)}
            </td>
          </tr>
        ))}
      </Table>
      {(more > 0 || destinations.length > 8) && (
        <p className="message">{whole(more + Math.max(0, destinations.length - 8))} more destinations.</p>
      )}
    </>
  );
}
