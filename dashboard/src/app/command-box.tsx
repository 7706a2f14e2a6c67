import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { api, bodyOf } from "../api/client";
import { useModal } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icon";
import { batchState, State } from "../ui/state";
import { excerpt } from "../ui/text";
import { ranked } from "./commands";
import { PLACES } from "./navigation";
import { liveUpdates, timeZone, toggleTheme } from "./preferences";
import { signOut } from "./session";

interface Entry {
  key: string;
  name: string;
  words: string;
  icon: IconName;
  hint: string;
  act: () => void;
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** One field for everything: pages, acts, and batches by name or id. */
export function CommandBox({ onClose, onKeys }: { onClose: () => void; onKeys: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [, go] = useLocation();
  const modal = useModal(onClose);

  const wanted = text.trim();
  const batches = useQuery({
    queryKey: ["command", wanted],
    queryFn: ({ signal }) =>
      bodyOf(api.GET("/api/v1/batches", { params: { query: { name: wanted, limit: 6 } }, signal })),
    enabled: wanted.length >= 2 && !ID.test(wanted),
    staleTime: 10_000,
  });

  const acts: Entry[] = [
    ...PLACES.map((place) => ({
      key: place.path,
      name: place.name,
      words: place.words,
      icon: place.icon,
      hint: "page",
      act: () => go(place.path),
    })),
    { key: "theme", name: "Switch between light and dark", words: "theme", icon: "moon", hint: "t", act: toggleTheme },
    {
      key: "utc",
      name: "Switch between UTC and local times",
      words: "zone",
      icon: "schedules",
      hint: "u",
      act: () => timeZone.set(timeZone.get() === "utc" ? "local" : "utc"),
    },
    {
      key: "live",
      name: "Switch live updates on or off",
      words: "pause polling",
      icon: "live",
      hint: "l",
      act: () => liveUpdates.set(!liveUpdates.get()),
    },
    {
      key: "keys",
      name: "Show the keys",
      words: "keyboard shortcuts help",
      icon: "information",
      hint: "?",
      act: onKeys,
    },
    {
      key: "docs",
      name: "Open the API documentation",
      words: "swagger openapi",
      icon: "book",
      hint: "/docs",
      act: () => window.open("/docs", "_blank", "noopener"),
    },
    {
      key: "out",
      name: "Sign out",
      words: "leave session",
      icon: "person",
      hint: "session",
      act: signOut,
    },
  ];
  const found: Entry[] = ranked(acts, wanted).slice(0, 8);
  if (ID.test(wanted)) {
    found.unshift({
      key: "id",
      name: `Open batch ${wanted}`,
      words: "",
      icon: "batches",
      hint: "id",
      act: () => go(`/batches/${wanted.toLowerCase()}`),
    });
  }
  const listed = enabledBatches(batches.data?.batches, wanted);
  const total = found.length + listed.length;
  const active = Math.min(at, Math.max(0, total - 1));
  const run = (index: number) => {
    const entry = found[index];
    const batch = listed[index - found.length];
    onClose();
    if (entry) entry.act();
    else if (batch) go(`/batches/${batch.batch_id}`);
  };

  return (
    <dialog {...modal} className="dialog command" aria-label="Command box">
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="command-list"
        aria-activedescendant={total > 0 ? `command-${active}` : undefined}
        aria-label="Page, act, or name or id of a batch"
        placeholder="Page, act, or name or id of a batch"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            setAt((active + (event.key === "ArrowDown" ? 1 : total - 1)) % Math.max(1, total));
          } else if (event.key === "Enter" && total > 0) {
            event.preventDefault();
            run(active);
          }
        }}
      />
      <div id="command-list" role="listbox" aria-label="Found">
        {found.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above acts on keys
          // biome-ignore lint/a11y/useFocusableInteractive: the field above keeps the focus
          <div
            key={entry.key}
            id={`command-${index}`}
            role="option"
            aria-selected={index === active}
            onClick={() => run(index)}
          >
            <Icon name={entry.icon} />
            {entry.name}
            <small>{entry.hint}</small>
          </div>
        ))}
        {listed.map((batch, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above acts on keys
          // biome-ignore lint/a11y/useFocusableInteractive: the field above keeps the focus
          <div
            key={batch.batch_id}
            id={`command-${found.length + index}`}
            role="option"
            aria-selected={found.length + index === active}
            onClick={() => run(found.length + index)}
          >
            <Icon name="batches" />
            <span>{excerpt(batch.name ?? batch.batch_id, 60)}</span>
            <small>
              <State name={batchState(batch)} />
            </small>
          </div>
        ))}
      </div>
      {total === 0 && <p>Nothing has this name. Filters of the page Batches find more.</p>}
    </dialog>
  );
}

function enabledBatches<T>(batches: T[] | undefined, wanted: string): T[] {
  return wanted.length >= 2 && !ID.test(wanted) ? (batches ?? []) : [];
}
