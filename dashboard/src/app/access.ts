import type { Schemas } from "../api/client";
import { useMeta } from "../api/queries";

export type Scope = Schemas["Meta"]["scopes"][number];

/** Tells whether the key of the reader has a scope. The server decides; this only explains. */
export function useScope(scope: Scope): { allowed: boolean; why: string } {
  const meta = useMeta();
  const allowed = meta.data === undefined || meta.data.scopes.includes(scope);
  return { allowed, why: `Your key lacks the scope ${scope}.` };
}
