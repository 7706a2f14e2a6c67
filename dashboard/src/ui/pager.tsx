import type { ReactNode } from "react";
import { Icon } from "./icon";

type Turn = [words: string, act: (() => void) | null];

/** The foot of a list that has pages: to its beginning, and on. A turn that is not possible has no act. */
export function Pager({ start, on, note }: { start: Turn; on: Turn; note?: ReactNode }) {
  return (
    <div className="panel-head">
      {note && <span className="count">{note}</span>}
      <div className="end">
        <button type="button" className="button small" disabled={start[1] === null} onClick={() => start[1]?.()}>
          {start[0]}
        </button>
        <button type="button" className="button small" disabled={on[1] === null} onClick={() => on[1]?.()}>
          {on[0]}
          <Icon name="next" size={13} />
        </button>
      </div>
    </div>
  );
}
