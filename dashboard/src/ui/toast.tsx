import { Store, useStore } from "../app/store";
import { Icon } from "./icon";

interface Toast {
  id: number;
  tone: "good" | "bad";
  text: string;
}

const toasts = new Store<Toast[]>([]);
let last = 0;

/** Say for some seconds what has happened. Screen readers read it aloud. */
export function say(text: string, tone: Toast["tone"] = "good"): void {
  last += 1;
  const toast = { id: last, tone, text };
  toasts.set([...toasts.get().slice(-3), toast]);
  setTimeout(() => dismiss(toast.id), tone === "good" ? 5_000 : 12_000);
}

function dismiss(id: number): void {
  toasts.set(toasts.get().filter((each) => each.id !== id));
}

export function Toasts() {
  const shown = useStore(toasts);
  return (
    <div className="toasts" role="status">
      {shown.map((toast) => (
        <div key={toast.id} className={`toast ${toast.tone}`}>
          <Icon name={toast.tone === "good" ? "completed" : "warning"} />
          <span>{toast.text}</span>
          <button
            type="button"
            className="button bare small icon"
            aria-label="Dismiss"
            onClick={() => dismiss(toast.id)}
          >
            <Icon name="close" size={13} />
          </button>
        </div>
      ))}
    </div>
  );
}
