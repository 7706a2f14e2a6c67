import { Store } from "./store";

/** Choices of the reader that concern the look alone, kept in this browser. Keys and data never are. */
const oneOf = (...values: unknown[]) => {
  return (value: unknown) => values.includes(value);
};

export const theme = new Store<"system" | "light" | "dark">("system", "theme", oneOf("system", "light", "dark"));
export const timeZone = new Store<"utc" | "local">("local", "times", oneOf("utc", "local"));
export const singleKeys = new Store<boolean>(true, "keys", oneOf(true, false));
export const liveUpdates = new Store<boolean>(true);

export function applyTheme(): void {
  const chosen = theme.get();
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

export function isDark(): boolean {
  const chosen = theme.get();
  return chosen === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

export function toggleTheme(): void {
  theme.set(isDark() ? "light" : "dark");
}
