import { Dialog } from "../ui/dialog";
import { KEYS } from "./key-map";
import { singleKeys } from "./preferences";
import { useStore } from "./store";

const NAMES: Record<string, string> = { Escape: "Esc", ArrowDown: "↓" };
const GROUPS = ["Everywhere", "Go to", "Lists", "A batch"] as const;

export function KeyList({ onClose }: { onClose: () => void }) {
  const on = useStore(singleKeys);
  return (
    <Dialog title="Keys" onClose={onClose} wide>
      <div className="key-list">
        {GROUPS.map((group) => (
          <section key={group} aria-label={group}>
            <h3>{group}</h3>
            <ul>
              {KEYS.filter((key) => key.group === group).map((key) => (
                <li key={key.keys}>
                  <span>{key.does}</span>
                  <span className="row nowrap">
                    {key.keys.split(" ").map((part) => (
                      <kbd key={part}>{NAMES[part] ?? part}</kbd>
                    ))}
                  </span>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
      <label className="choice">
        <input type="checkbox" checked={on} onChange={(event) => singleKeys.set(event.target.checked)} />
        Single letters act. Turn this off if you use speech input.
      </label>
    </Dialog>
  );
}
