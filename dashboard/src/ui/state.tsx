import type { Schemas } from "../api/client";
import { Icon, type IconName } from "./icon";

type Tone = "good" | "bad" | "warn" | "active" | "calm";
interface Look {
  icon: IconName;
  word: string;
  tone: Tone;
}

const LOOKS = {
  open: { icon: "growing", word: "open", tone: "active" },
  running: { icon: "running", word: "running", tone: "active" },
  waiting: { icon: "waiting", word: "waiting", tone: "warn" },
  paused: { icon: "paused", word: "paused", tone: "warn" },
  finished: { icon: "completed", word: "finished", tone: "calm" },
  completed: { icon: "completed", word: "completed", tone: "good" },
  partial: { icon: "partial", word: "partial", tone: "warn" },
  failed: { icon: "failed", word: "failed", tone: "bad" },
  cancelled: { icon: "cancelled", word: "cancelled", tone: "calm" },
  expired: { icon: "expired", word: "expired", tone: "warn" },
  succeeded: { icon: "completed", word: "succeeded", tone: "good" },
  duplicate: { icon: "duplicate", word: "duplicate", tone: "calm" },
  in_transit: { icon: "next", word: "on the way", tone: "active" },
  up: { icon: "completed", word: "up", tone: "good" },
  away: { icon: "warning", word: "away", tone: "bad" },
  retrying: { icon: "retry", word: "retrying", tone: "warn" },
  leased: { icon: "running", word: "at a worker", tone: "active" },
  started: { icon: "running", word: "started", tone: "active" },
  starting: { icon: "running", word: "starting", tone: "active" },
  ended: { icon: "completed", word: "ended", tone: "calm" },
  skipped: { icon: "next", word: "skipped", tone: "calm" },
  missed: { icon: "expired", word: "missed", tone: "warn" },
  pending: { icon: "waiting", word: "pending", tone: "active" },
  delivered: { icon: "completed", word: "delivered", tone: "good" },
  closed: { icon: "completed", word: "closed", tone: "good" },
  half_open: { icon: "circuit", word: "being tried", tone: "warn" },
  circuit_open: { icon: "circuit", word: "circuit open", tone: "bad" },
  active: { icon: "completed", word: "active", tone: "good" },
  revoked: { icon: "cancelled", word: "revoked", tone: "calm" },
  stopping: { icon: "stop", word: "stopping", tone: "warn" },
  absent: { icon: "warning", word: "no workers", tone: "warn" },
} as const satisfies Record<string, Look>;

export type StateName = keyof typeof LOOKS;

/** A state as symbol, word and colour. A name that this page does not know is shown as it is. */
export function State({ name, word }: { name: string; word?: string }) {
  const look: Look = name in LOOKS ? LOOKS[name as StateName] : { icon: "information", word: name, tone: "calm" };
  return (
    <span className={`state ${look.tone}`}>
      <Icon name={look.icon} size={13} />
      {word ?? look.word}
    </span>
  );
}

type BatchState = Pick<Schemas["BatchState"], "status" | "result" | "waiting">;

/** The state of a batch: how it ended, or that it waits although it should run. */
export function batchState(batch: BatchState): StateName {
  if (batch.status === "finished") return batch.result ?? "finished";
  if (batch.status === "running" && batch.waiting) return "waiting";
  return batch.status;
}
