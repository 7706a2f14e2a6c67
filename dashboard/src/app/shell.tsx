import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { actingFor } from "../api/acting-for";
import { isReachable, sessionState } from "../api/client";
import { actFor, useMeta } from "../api/queries";
import { connection } from "../live/stream";
import { SignInDialog } from "../pages/sign-in/sign-in";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { Menu } from "../ui/menu";
import { Field } from "../ui/page";
import { excerpt } from "../ui/text";
import { say } from "../ui/toast";
import { CommandBox } from "./command-box";
import logo from "./favicon.svg";
import { KeyList } from "./key-list";
import { GO_TO } from "./key-map";
import { moveRow, useKeys } from "./keys";
import { GROUPS, isAt, PLACES, type Place } from "./navigation";
import { isDark, liveUpdates, theme, timeZone, toggleTheme } from "./preferences";
import { signOut } from "./session";
import { useStore } from "./store";

type Open = "commands" | "keys" | "places" | null;

/** The frame around every page. */
export function Shell({ children }: { children: ReactNode }) {
  const [path, go] = useLocation();
  const [open, setOpen] = useState<Open>(null);
  const session = useStore(sessionState);
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path);
  const meta = useMeta();

  useEffect(() => {
    if (shown.current === path) return;
    const samePage = shown.current.split("/").slice(0, 3).join("/") === path.split("/").slice(0, 3).join("/");
    shown.current = path;
    if (samePage) return;
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [path]);

  useKeys({
    "?": () => setOpen("keys"),
    "Ctrl+k": () => setOpen(open === "commands" ? null : "commands"),
    "/": () => {
      const filter = document.querySelector<HTMLInputElement>("[data-filter]");
      if (filter) filter.focus();
      else setOpen("commands");
    },
    c: () => go("/submit"),
    t: toggleTheme,
    u: () => {
      timeZone.set(timeZone.get() === "utc" ? "local" : "utc");
      say(timeZone.get() === "utc" ? "Times are in UTC" : "Times are local");
    },
    l: () => {
      liveUpdates.set(!liveUpdates.get());
      say(liveUpdates.get() ? "Live updates are on" : "Live updates are off");
    },
    j: () => moveRow(1),
    k: () => moveRow(-1),
    ...Object.fromEntries(GO_TO.map(([key, target]) => [`g ${key}`, () => go(target)])),
  });

  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <div className="shell">
        <Rail path={path} version={meta.data?.version} />
        <div className="column">
          <TopBar onCommands={() => setOpen("commands")} onKeys={() => setOpen("keys")} />
          {meta.data?.keys_required === false && (
            <div className="banner" role="note">
              <Icon name="warning" />
              No API key exists: everybody who reaches this address may do everything.
            </div>
          )}
          <main id="main" ref={main} tabIndex={-1}>
            {children}
          </main>
        </div>
      </div>
      <BottomBar path={path} onMore={() => setOpen("places")} />
      {open === "commands" && <CommandBox onClose={() => setOpen(null)} onKeys={() => setOpen("keys")} />}
      {open === "keys" && <KeyList onClose={() => setOpen(null)} />}
      {open === "places" && <AllPlaces path={path} onClose={() => setOpen(null)} />}
      {session === "expired" && <SignInDialog />}
    </>
  );
}

function PlaceLink({ place, path, onGo }: { place: Place; path: string; onGo?: () => void }) {
  return (
    <Link
      href={place.path}
      className="rail-link"
      aria-current={isAt(place, path) ? "page" : undefined}
      onClick={() => onGo?.()}
    >
      <Icon name={place.icon} />
      {place.name}
    </Link>
  );
}

function Rail({ path, version }: { path: string; version: string | undefined }) {
  return (
    <nav className="rail" aria-label="Pages">
      <Link href="/" className="brand">
        <img src={logo} alt="" />
        Batchyard
      </Link>
      {GROUPS.map(([heading, places]) => (
        <div key={heading ?? ""}>
          {heading && <h2>{heading}</h2>}
          {places.map((place) => (
            <PlaceLink key={place.path} place={place} path={path} />
          ))}
        </div>
      ))}
      <p className="rail-foot">
        {version && `Version ${version} · `}
        <a href="/docs">API</a>
      </p>
    </nav>
  );
}

function BottomBar({ path, onMore }: { path: string; onMore: () => void }) {
  const first = PLACES.filter((place) => ["/", "/batches", "/submit", "/workloads"].includes(place.path));
  return (
    <nav className="bottom-bar" aria-label="Pages">
      {first.map((place) => (
        <Link key={place.path} href={place.path} aria-current={isAt(place, path) ? "page" : undefined}>
          <Icon name={place.icon} size={18} />
          {place.name}
        </Link>
      ))}
      <button type="button" onClick={onMore}>
        <Icon name="more" size={18} />
        More
      </button>
    </nav>
  );
}

function AllPlaces({ path, onClose }: { path: string; onClose: () => void }) {
  return (
    <Dialog title="Pages" onClose={onClose}>
      <nav aria-label="All pages">
        {PLACES.map((place) => (
          <PlaceLink key={place.path} place={place} path={path} onGo={onClose} />
        ))}
      </nav>
    </Dialog>
  );
}

function TopBar({ onCommands, onKeys }: { onCommands: () => void; onKeys: () => void }) {
  useStore(theme);
  return (
    <header className="bar">
      <button type="button" className="bar-search" onClick={onCommands}>
        <Icon name="search" size={14} />
        <span>Go to a page or a batch</span>
        <kbd>Ctrl K</kbd>
      </button>
      <div className="bar-end">
        <ActingFor />
        <LiveMark />
        <button
          type="button"
          className="button bare icon"
          onClick={toggleTheme}
          aria-label={isDark() ? "Light theme" : "Dark theme"}
          title={isDark() ? "Light theme" : "Dark theme"}
        >
          <Icon name={isDark() ? "sun" : "moon"} />
        </button>
        <AccountMenu onKeys={onKeys} />
      </div>
    </header>
  );
}

const MARKS = {
  live: { icon: "live", word: "live", title: "Progress comes as it happens" },
  reconnecting: {
    icon: "polling",
    word: "reconnecting",
    title: "The live connection is lost; the page asks every few seconds meanwhile",
  },
  polling: { icon: "polling", word: "polling", title: "The page asks every few seconds" },
  offline: { icon: "warning", word: "no connection", title: "Batchyard does not answer; the page tries again" },
  off: { icon: "paused", word: "updates off", title: "Press l to turn live updates on" },
} as const;

function LiveMark() {
  const on = useStore(liveUpdates);
  const state = useStore(connection);
  const reachable = useStore(isReachable);
  const shown = !on ? "off" : reachable ? state : "offline";
  const mark = MARKS[shown];
  return (
    <span className="live" data-state={shown} title={mark.title}>
      <Icon name={mark.icon} size={14} />
      <span>{mark.word}</span>
    </span>
  );
}

/** Says whose batches an operator looks at, when they are not the own ones. */
function ActingFor() {
  const owner = useStore(actingFor);
  if (owner === null) return null;
  return (
    <button type="button" className="button small" onClick={() => actFor(null)} title="Back to your own batches">
      <Icon name="person" size={13} />
      batches of {excerpt(owner, 24)}
      <Icon name="close" size={13} />
    </button>
  );
}

function OwnerForm({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState("");
  return (
    <form
      className="about"
      onSubmit={(event) => {
        event.preventDefault();
        actFor(name.trim() || null);
        onDone();
      }}
    >
      <Field id="acting-for" label="Look at the batches of">
        <input id="acting-for" placeholder="owner" value={name} onChange={(event) => setName(event.target.value)} />
      </Field>
    </form>
  );
}

function AccountMenu({ onKeys }: { onKeys: () => void }) {
  const meta = useMeta();
  return (
    <Menu className="button bare icon" label="Account" button={<Icon name="person" />}>
      {(close) => (
        <>
          <p className="about">
            {meta.data ? (
              <>
                Owner <b>{meta.data.owner}</b>
                <br />
                {meta.data.scopes.length} of 8 scopes
              </>
            ) : (
              "…"
            )}
          </p>
          {meta.data?.scopes.includes("operate") && <OwnerForm onDone={close} />}
          <Link href="/keys" onClick={close}>
            <Icon name="keys" /> Keys
          </Link>
          <Link href="/settings" onClick={close}>
            <Icon name="settings" /> Settings
          </Link>
          <button
            type="button"
            onClick={() => {
              close();
              onKeys();
            }}
          >
            <Icon name="information" /> Keyboard <kbd>?</kbd>
          </button>
          <button type="button" onClick={signOut}>
            <Icon name="person" /> Sign out
          </button>
        </>
      )}
    </Menu>
  );
}
