import { actingFor } from "../api/acting-for";
import { api, bodyOf, type Schemas, sessionState } from "../api/client";
import { queryClient } from "../api/queries";
import { hangUp } from "../live/stream";
import { say } from "../ui/toast";

/** Sign-in and sign-out. The key is sent once, and kept nowhere: the browser keeps a cookie that scripts cannot read. */

const TOKEN = /^#sign-in=([\w.-]{8,200})$/;

export function hasSignInLink(): boolean {
  return TOKEN.test(location.hash);
}

export async function checkSession(): Promise<void> {
  const token = TOKEN.exec(location.hash)?.[1];
  if (token !== undefined) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      await begin(await bodyOf(api.POST("/api/v1/session/redeem", { body: { token } })));
      return;
    } catch (error) {
      say((error as Error).message, "bad"); // a session may still be there
    }
  }
  try {
    forgetOwnerOfOthers(await bodyOf(api.GET("/api/v1/session")));
    sessionState.set("open");
  } catch (error) {
    if (sessionState.get() === "unknown") throw error;
  }
}

export async function signIn(key: string): Promise<void> {
  const headers = { Authorization: `Bearer ${key.trim()}` };
  const before = sessionState.get();
  try {
    await begin(await bodyOf(api.POST("/api/v1/session", { headers })));
  } catch (error) {
    sessionState.set(before);
    throw error;
  }
}

/** Opens the page for a client. Nothing stays of another one that was signed in before. */
async function begin(view: Schemas["SessionView"]): Promise<void> {
  const before = queryClient.getQueryData<Schemas["Meta"]>(["meta"]);
  const isSame = before?.owner === view.owner && sorted(before.scopes) === sorted(view.scopes);
  if (before !== undefined && !isSame) actingFor.set(null);
  forgetOwnerOfOthers(view);
  const renewed = isSame ? queryClient.invalidateQueries() : queryClient.resetQueries();
  sessionState.set("open");
  await renewed;
}

/** Only an operator looks at batches of others. */
function forgetOwnerOfOthers({ scopes }: Schemas["SessionView"]): void {
  if (!scopes.includes("operate")) actingFor.set(null);
}

function sorted(scopes: string[]): string {
  return [...scopes].sort().join();
}

export async function signOut(): Promise<void> {
  hangUp();
  try {
    await bodyOf(api.DELETE("/api/v1/session"));
  } catch (error) {
    say((error as Error).message, "bad");
    return;
  }
  actingFor.set(null);
  sessionState.set("signed-out");
  queryClient.clear();
}
