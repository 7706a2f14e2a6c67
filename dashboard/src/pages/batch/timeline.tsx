import { useTimeline } from "../../api/batch";
import type { Schemas } from "../../api/client";
import { Icon, type IconName } from "../../ui/icon";
import { Empty, Loaded, Panel } from "../../ui/panel";
import { excerpt } from "../../ui/text";
import { Time } from "../../ui/time";

type Entry = Schemas["TimelineEntryView"];

const LOOKS: Record<Entry["kind"], [icon: IconName, words: string]> = {
  accepted: ["submit", "accepted"],
  started: ["running", "the first items began"],
  sealed: ["completed", "sealed: no more items"],
  paused: ["paused", "paused"],
  resumed: ["running", "resumed"],
  changed: ["settings", "changed"],
  cancelled: ["cancelled", "cancelled"],
  retried: ["retry", "retried"],
  released: ["retry", "taken back from its workers by an operator"],
  replayed: ["retry", "announced again by an operator"],
  results_accepted: ["completed", "refused results accepted"],
  rate_changed: ["destinations", "rate changed"],
  circuit_opened: ["circuit", "circuit opened"],
  circuit_closed: ["completed", "circuit closed"],
  ended: ["completed", "ended"],
};

/** The timeline of a batch and of its destinations, the newest first. */
export function TimelinePanel({ batch }: { batch: Schemas["BatchState"] }) {
  const query = useTimeline(batch.batch_id, batch.status !== "finished");
  return (
    <Panel title="Timeline">
      <Loaded query={query}>
        {({ entries }) =>
          entries.length === 0 ? (
            <Empty title="Nothing has happened yet" />
          ) : (
            <ol className="needs">
              {entries.map((entry) => (
                <Line key={`${entry.at}${entry.kind}${entry.partition ?? ""}`} entry={entry} />
              ))}
            </ol>
          )
        }
      </Loaded>
    </Panel>
  );
}

/** A short text for an entry: what happened, and where. */
export function entryWords({ kind, partition }: Entry): string {
  const words = LOOKS[kind]?.[1] ?? kind;
  return partition ? `${words}: ${excerpt(partition, 60)}` : words;
}

function Line({ entry }: { entry: Entry }) {
  const [icon, words] = LOOKS[entry.kind] ?? ["information", entry.kind];
  const place = [entry.partition, entry.reason, entry.result].filter(Boolean).join(" · ");
  return (
    <li>
      <Icon name={icon} size={14} />
      <span className="text">
        {words}
        {(entry.round ?? 1) > 1 && `, round ${entry.round}`}
        {entry.actor && <span className="quiet"> by {excerpt(entry.actor, 60)}</span>}
        {place && <span className="note"> {excerpt(place, 200)}</span>}
        {entry.after && <span className="note"> {excerpt(changeWords(entry), 200)}</span>}
      </span>
      <span className="note">
        <Time at={entry.at} />
      </span>
    </li>
  );
}

function changeWords({ before, after }: Entry): string {
  const was = before as Record<string, unknown> | null | undefined;
  return Object.entries(after ?? {})
    .map(([name, value]) => {
      const old = was?.[name];
      const change = old === undefined || old === null ? "" : `${JSON.stringify(old)} → `;
      return `${name.replaceAll("_", " ")} ${change}${JSON.stringify(value)}`;
    })
    .join(", ");
}
