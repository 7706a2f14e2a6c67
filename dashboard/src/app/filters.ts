import { useSearchParams } from "wouter";

type Changes = Record<string, string | null>;

/** The filters of a page, which its address holds, and a function that changes some of them. */
export function useFilters(): [URLSearchParams, (changes: Changes, options?: { replace: boolean }) => void] {
  const [params, setParams] = useSearchParams();
  const change = (changes: Changes, options?: { replace: boolean }) =>
    setParams((now) => {
      for (const [name, value] of Object.entries(changes)) {
        if (value) now.set(name, value);
        else now.delete(name);
      }
      return now;
    }, options);
  return [params, change];
}
