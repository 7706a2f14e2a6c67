import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "wouter";
import { api, bodyOf, type Schemas } from "../../api/client";
import { useScope } from "../../app/access";
import { Code } from "../../ui/code";
import { Confirm, Dialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { Field, PageHead } from "../../ui/page";
import { Empty, ErrorMessage, Loaded, Panel, Skeleton } from "../../ui/panel";
import { number, Table } from "../../ui/table";
import { bytes, countOf, excerpt, visible } from "../../ui/text";
import { Time } from "../../ui/time";
import { say } from "../../ui/toast";

type Letter = Schemas["DeadLetterView"];

const LIMIT = 50;

/**
 * Messages that no service could handle. A look takes them from their queue for a moment, so that the page looks when it
 * is asked to, and never on a timer.
 */
export default function DeadLetters() {
  const [params, setParams] = useSearchParams();
  const queue = params.get("queue") ?? "";
  const operate = useScope("operate");
  const [chosen, setChosen] = useState<string[]>([]);
  const [open, setOpen] = useState<Letter | null>(null);
  const [asks, setAsks] = useState<"replay" | "drop" | null>(null);
  const query = useQuery({
    queryKey: ["dead-letters", queue],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/dead-letters", { params: { query: { limit: LIMIT, ...(queue ? { queue } : {}) } }, signal }),
      ),
    enabled: operate.allowed,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  const choose = (name: string) => {
    setChosen([]);
    setParams(name ? { queue: name } : {});
  };
  if (!operate.allowed) {
    return (
      <>
        <PageHead title="Dead letters" tab="Dead letters" />
        <Panel title="For operators">
          <Empty title={operate.why}>
            <p>
              Dead letters concern all owners. Sign in with a key of an operator:{" "}
              <code>batchyard dashboard --operator</code>.
            </p>
          </Empty>
        </Panel>
      </>
    );
  }
  const letters = query.data?.dead_letters ?? [];
  const selected = letters.filter((letter) => chosen.includes(keyOf(letter)));
  const queues = (query.data?.queues ?? []).filter((each) => each.count > 0);
  return (
    <>
      <PageHead
        title="Dead letters"
        tab="Dead letters"
        lead="Messages that no service could handle, each with its reason. Nothing is lost: replay them when the cause is gone."
      >
        <button type="button" className="button" onClick={() => query.refetch()} disabled={query.isFetching}>
          <Icon name="retry" size={14} />
          Look again
        </button>
      </PageHead>
      <Panel title="Queues" count={query.data && countOf(queues.length, "queue")}>
        <Loaded query={query}>
          {() =>
            queues.length === 0 ? (
              <Empty title="No dead letters" />
            ) : (
              <div className="panel-body row">
                <button type="button" className="button small" aria-pressed={queue === ""} onClick={() => choose("")}>
                  all
                </button>
                {queues.map((each) => (
                  <button
                    key={each.queue}
                    type="button"
                    className="button small"
                    aria-pressed={queue === each.queue}
                    onClick={() => choose(each.queue)}
                  >
                    {each.queue} <b>{each.count}</b>
                  </button>
                ))}
              </div>
            )
          }
        </Loaded>
      </Panel>
      {letters.length > 0 && (
        <Panel
          title="Letters"
          count={letters.length >= LIMIT ? `the first ${LIMIT}` : countOf(letters.length, "letter")}
          end={
            <>
              <button
                type="button"
                className="button small"
                disabled={selected.length === 0}
                onClick={() => setAsks("replay")}
              >
                Replay {selected.length || ""}
              </button>
              <button
                type="button"
                className="button small danger"
                disabled={selected.length === 0}
                onClick={() => setAsks("drop")}
              >
                Drop {selected.length || ""}…
              </button>
            </>
          }
        >
          <Table label="Dead letters" columns={["", "Message", "Reason", "Since", number("Size")]}>
            {letters.map((letter) => (
              <tr key={keyOf(letter)}>
                <td data-label="Choose">
                  <input
                    type="checkbox"
                    aria-label={`Choose letter ${letter.id}`}
                    checked={chosen.includes(keyOf(letter))}
                    onChange={(event) =>
                      setChosen(
                        event.target.checked
                          ? [...chosen, keyOf(letter)]
                          : chosen.filter((each) => each !== keyOf(letter)),
                      )
                    }
                  />
                </td>
                <td data-label="Message">
                  <div>
                    <button type="button" className="link-button main-link" data-row="" onClick={() => setOpen(letter)}>
                      {excerpt(letter.type, 80) || "unknown"}
                    </button>
                    <span className="sub">{letter.queue}</span>
                  </div>
                </td>
                <td data-label="Reason">{excerpt(letter.reason, 240)}</td>
                <td data-label="Since">
                  <Time at={letter.at} />
                </td>
                <td data-label="Size" className="number">
                  {bytes(letter.bytes)}
                </td>
              </tr>
            ))}
          </Table>
        </Panel>
      )}
      {open && <LetterDialog letter={open} onClose={() => setOpen(null)} />}
      {asks && (
        <Act
          what={asks}
          letters={selected}
          onClose={() => setAsks(null)}
          onDone={() => {
            setAsks(null);
            setChosen([]);
            query.refetch();
          }}
        />
      )}
    </>
  );
}

/** The key of a letter: a message that two queues could not handle has the same id in both. */
function keyOf(letter: Letter): string {
  return `${letter.queue}/${letter.id}`;
}

function Act({
  what,
  letters,
  onClose,
  onDone,
}: {
  what: "replay" | "drop";
  letters: Letter[];
  onClose: () => void;
  onDone: () => void;
}) {
  const [typed, setTyped] = useState("");
  const act = useMutation({
    mutationFn: async () => {
      let count = 0;
      for (const queue of new Set(letters.map((letter) => letter.queue))) {
        const ids = letters.filter((letter) => letter.queue === queue).map((letter) => letter.id);
        const request = { params: { path: { queue } }, body: { ids } as Schemas["DeadLetterRequest"] };
        const answer =
          what === "replay"
            ? await bodyOf(api.POST("/api/v1/dead-letters/{queue}/replay", request))
            : await bodyOf(api.POST("/api/v1/dead-letters/{queue}/drop", request));
        count += answer.count;
      }
      return count;
    },
    onSuccess: (count) => {
      say(`${countOf(count, "letter")} ${what === "replay" ? "sent to the queue again" : "dropped"}`);
      onDone();
    },
  });
  return (
    <Confirm
      title={
        what === "replay"
          ? `Replay ${countOf(letters.length, "letter")}?`
          : `Drop ${countOf(letters.length, "letter")} for good?`
      }
      act={what === "replay" ? "Replay" : "Drop"}
      danger={what === "drop"}
      busy={act.isPending}
      ready={what === "replay" || typed.trim() === "drop"}
      onClose={onClose}
      onAct={() => act.mutate()}
    >
      <p>
        {what === "replay"
          ? "They go back to their queues and are handled again. One that fails again comes back here."
          : "Nobody can bring them back, and what they were about may stay unfinished."}
      </p>
      {what === "drop" && (
        <Field id="typed" label="Type drop">
          <input id="typed" value={typed} autoComplete="off" onChange={(event) => setTyped(event.target.value)} />
        </Field>
      )}
      {act.error && <ErrorMessage error={act.error} />}
    </Confirm>
  );
}

function LetterDialog({ letter, onClose }: { letter: Letter; onClose: () => void }) {
  const payloads = useScope("payloads:read");
  const query = useQuery({
    queryKey: ["dead-letter", letter.queue, letter.id],
    queryFn: ({ signal }) =>
      bodyOf(
        api.GET("/api/v1/dead-letters/{queue}/{dead_letter_id}", {
          params: { path: { queue: letter.queue, dead_letter_id: letter.id } },
          signal,
        }),
      ),
    enabled: payloads.allowed,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  return (
    <Dialog title={excerpt(letter.type, 80) || "Letter"} onClose={onClose} wide>
      <dl className="facts">
        <dt>Queue</dt>
        <dd>{letter.queue}</dd>
        <dt>Reason</dt>
        <dd>{visible(letter.reason)}</dd>
        <dt>Since</dt>
        <dd>
          <Time at={letter.at} />
        </dd>
        <dt>Id</dt>
        <dd>
          <code>{visible(letter.id)}</code>
        </dd>
      </dl>
      {!payloads.allowed ? (
        <p className="note">{payloads.why} The body stays hidden.</p>
      ) : query.data ? (
        <Code text={query.data.body} label="body" />
      ) : query.error ? (
        <ErrorMessage error={query.error} onRetry={() => query.refetch()} />
      ) : (
        <Skeleton />
      )}
    </Dialog>
  );
}
