import { useSyncExternalStore } from "react";
import { clockOffset } from "../api/client";
import { timeZone } from "../app/preferences";
import { Store, useStore } from "../app/store";
import { distance, exactTime } from "./text";

/** The time by the server's clock, renewed each second while the page is visible and something shows it. */
const clock = new Store(Date.now());
setInterval(() => {
  if (document.visibilityState === "visible") clock.set(Date.now());
}, 1_000);

export function useNow(): number {
  return useStore(clock) + useStore(clockOffset);
}

/** A text that depends on the time; what shows it is rendered again when the text is another one, not each second. */
export function useTextOfNow(textAt: (now: number) => string): string {
  return useSyncExternalStore(clock.subscribe, () => textAt(clock.get() + clockOffset.get()));
}

/** A time as its distance from now; the exact time is in the title. */
export function Time({ at }: { at: string | null | undefined }) {
  const time = at ? Date.parse(at) : 0;
  const words = useTextOfNow((now) => distance(time, now));
  const zone = useStore(timeZone);
  if (!at) return null;
  return (
    <time dateTime={at} title={exactTime(time, zone)} className="nowrap">
      {words}
    </time>
  );
}

/** A time in full. */
export function ExactTime({ at }: { at: string }) {
  const zone = useStore(timeZone);
  return <time dateTime={at}>{exactTime(Date.parse(at), zone)}</time>;
}
