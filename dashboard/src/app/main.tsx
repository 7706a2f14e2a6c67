import { QueryClientProvider } from "@tanstack/react-query";
import { Suspense, useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Link, Route, Router, Switch, useLocation, useSearch } from "wouter";
import { actingFor, linkFor, ownerOfAddress } from "../api/acting-for";
import { sessionState } from "../api/client";
import { actFor, queryClient } from "../api/queries";
import { SignInPage } from "../pages/sign-in/sign-in";
import { PageHead } from "../ui/page";
import { Boundary, Empty, ErrorMessage, Skeleton } from "../ui/panel";
import { Toasts } from "../ui/toast";
import "../styles/index.css";
import { applyTheme, theme } from "./preferences";
import { ROUTES } from "./routes";
import { checkSession, hasSignInLink } from "./session";
import { Shell } from "./shell";
import { useStore } from "./store";

actingFor.set(ownerOfAddress());
applyTheme();
theme.subscribe(applyTheme);

function App() {
  const session = useStore(sessionState);
  const [error, setError] = useState<unknown>(null);
  const [path] = useLocation();
  const search = useSearch();
  const owner = useStore(actingFor);
  const hrefs = useCallback((href: string) => linkFor(href, owner), [owner]);
  useEffect(() => {
    const named = search.includes("owner=") ? ownerOfAddress() : null;
    if (named !== null && named !== actingFor.get()) actFor(named);
  }, [search]);
  useEffect(() => {
    const check = () => void checkSession().catch(setError);
    const onHash = () => hasSignInLink() && check();
    check();
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  if (session === "signed-out") return <SignInPage />;
  if (session === "unknown") {
    return (
      <main className="sign-in">
        {error === null ? (
          <span className="hidden-visually">Loading</span>
        ) : (
          <ErrorMessage error={error} onRetry={() => location.reload()} />
        )}
      </main>
    );
  }
  return (
    <Router hrefs={hrefs}>
      <Shell>
        <Boundary path={path} onRetry={() => location.reload()}>
          <Suspense fallback={<Skeleton lines={8} />}>
            <Switch>
              {ROUTES.map(([route, Page]) => (
                <Route key={route} path={route}>
                  <Page />
                </Route>
              ))}
              <Route>
                <PageHead title="There is no such page" tab="Not found" />
                <Empty title="The address may have been cut off.">
                  <Link href="/batches" className="button">
                    All batches
                  </Link>
                </Empty>
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </Shell>
    </Router>
  );
}

addEventListener("vite:preloadError", () => {
  if (sessionStorage.getItem("reloaded") === document.title) return;
  sessionStorage.setItem("reloaded", document.title);
  location.reload();
});

const root = document.getElementById("page");
if (root) {
  createRoot(root).render(
    <QueryClientProvider client={queryClient}>
      <App />
      <Toasts />
    </QueryClientProvider>,
  );
}
