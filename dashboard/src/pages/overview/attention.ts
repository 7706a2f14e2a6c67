import type { Schemas } from "../../api/client";
import type { IconName } from "../../ui/icon";

type Entry = Schemas["AttentionEntry"];

export interface Look {
  icon: IconName;
  tone: "bad" | "warn";
  word: string;
  path: string;
  act: string;
}

/** The look of an entry on what needs somebody, and the page it leads to. */
export function lookOf(entry: Entry): Look {
  const batch = entry.batch_id ? `/batches/${entry.batch_id}` : "/batches";
  switch (entry.kind) {
    case "circuit_open": {
      const query = new URLSearchParams({
        ...(entry.workload ? { workload: entry.workload } : {}),
        ...(entry.partition ? { q: entry.partition } : {}),
      });
      return { icon: "circuit", tone: "bad", word: "circuit", path: `/destinations?${query}`, act: "Rate" };
    }
    case "dead_letters": {
      const query = entry.queue ? `?queue=${encodeURIComponent(entry.queue)}` : "";
      return { icon: "letters", tone: "warn", word: "letters", path: `/dead-letters${query}`, act: "See" };
    }
    case "no_worker":
      return { icon: "workers", tone: "bad", word: "no worker", path: entry.batch_id ? batch : "/workers", act: "See" };
    case "schedule_missed": {
      const path = entry.schedule ? `/schedules/${entry.schedule}` : "/schedules";
      return { icon: "schedules", tone: "warn", word: "missed", path, act: "Runs" };
    }
    case "batch_stopped":
      return { icon: "stop", tone: "bad", word: "stopped", path: batch, act: "See" };
    default:
      return { icon: "failed", tone: "warn", word: "failures", path: `${batch}/failures`, act: "Failures" };
  }
}
