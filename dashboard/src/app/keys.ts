import { useEffect, useRef } from "react";
import { nameOf, sequence } from "./key-map";
import { singleKeys } from "./preferences";

type Handlers = Record<string, () => void>;

const stack: { current: Handlers }[] = [];
/** Keys that act again while they are held down. */
const MAY_REPEAT = new Set(["j", "k"]);
let pending = "";
let pendingUntil = 0;

function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** The step between rows that an arrow makes: from a row, and from the filter down. Elsewhere arrows scroll. */
function stepOf(name: string, target: EventTarget | null): 1 | -1 | null {
  if (!(target instanceof HTMLElement)) return null;
  if (name === "ArrowDown" && target.matches("[data-filter], [data-row]")) return 1;
  return name === "ArrowUp" && target.matches("[data-row]") ? -1 : null;
}

function onKey(event: KeyboardEvent): void {
  const name = nameOf(event);
  if (name === "" || event.defaultPrevented) return;
  const inField = isField(event.target);
  const isFree = document.querySelector("dialog[open]") === null;
  if (inField && name === "Escape" && isFree) {
    event.preventDefault(); // a browser would clear a search field
    (event.target as HTMLElement).blur();
    return;
  }
  const step = isFree ? stepOf(name, event.target) : null;
  if (step !== null) {
    event.preventDefault();
    moveRow(step);
    return;
  }
  const isSingle = !name.startsWith("Ctrl+");
  if (isSingle && (inField || !singleKeys.get() || !isFree)) return;
  if (event.repeat && !MAY_REPEAT.has(name)) return;
  const pressed = sequence(event.timeStamp < pendingUntil ? pending : "", name);
  pending = name === "g" && pressed === "g" ? "g" : "";
  pendingUntil = event.timeStamp + 1_200;
  for (let at = stack.length - 1; at >= 0; at -= 1) {
    const handler = stack[at]?.current[pressed];
    if (handler) {
      event.preventDefault();
      handler();
      return;
    }
  }
}

addEventListener("keydown", onKey);

/** Act on keys for as long as the component is there. Those of a component that came later go before. */
export function useKeys(handlers: Handlers): void {
  const entry = useRef(handlers);
  useEffect(() => {
    entry.current = handlers;
  });
  useEffect(() => {
    stack.push(entry);
    return () => {
      stack.splice(stack.indexOf(entry), 1);
    };
  }, []);
}

/** Move between the rows of the lists of the page, whose links carry `data-row`. */
export function moveRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step));
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: "nearest" });
}
