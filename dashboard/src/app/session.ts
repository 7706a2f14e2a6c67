import { api, bodyOf, type Schemas, sessionState } from "../api/client";
import { queryClient } from "../api/queries";

/** Sign-in and sign-out. The key is sent once, and kept nowhere: the browser keeps a cookie that scripts cannot read. */

const TOKEN = /^#sign-in=([\w.-]{8,200})$/;

export async function checkSession(): Promise<void> {
  const found = TOKEN.exec(location.hash);
  if (found?.[1]) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      await bodyOf(api.POST("/api/v1/session/redeem", { body: { token: found[1] } }));
    } catch {
      // The link was used before or is too old; a session may still be there.
    }
  }
  try {
    await bodyOf(api.GET("/api/v1/session"));
    sessionState.set("open");
  } catch (error) {
    if (sessionState.get() === "unknown") throw error;
  }
}

export async function signIn(key: string): Promise<Schemas["SessionView"]> {
  const headers = { Authorization: `Bearer ${key.trim()}` };
  const before = sessionState.get();
  try {
    const view = await bodyOf(api.POST("/api/v1/session", { headers }));
    sessionState.set("open");
    await queryClient.invalidateQueries();
    return view;
  } catch (error) {
    sessionState.set(before);
    throw error;
  }
}

export async function signOut(): Promise<void> {
  await bodyOf(api.DELETE("/api/v1/session"));
  sessionState.set("signed-out");
  queryClient.clear();
}
