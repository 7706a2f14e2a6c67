import { useSyncExternalStore } from "react";

/** A value outside of React that components can read, and that is kept in this browser if it has a name. */
export class Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(
    initial: T,
    private readonly keptAs?: string,
    private readonly isAllowed: (value: unknown) => boolean = () => true,
  ) {
    this.#value = initial;
    if (keptAs === undefined) return;
    try {
      const kept = JSON.parse(localStorage.getItem(keptAs) ?? "null");
      if (kept !== null && this.isAllowed(kept)) this.#value = kept;
    } catch {
      // Storage is off, or holds no value of this version: the initial value counts.
    }
  }

  get = (): T => this.#value;

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    if (this.keptAs !== undefined) {
      try {
        localStorage.setItem(this.keptAs, JSON.stringify(value));
      } catch {
        // Without storage the value lasts as long as the page.
      }
    }
    for (const listener of this.#listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}
