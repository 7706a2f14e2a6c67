import { QueryClientProvider } from "@tanstack/react-query";
import { Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Link, Route, Switch, useLocation } from "wouter";
import { sessionState } from "../api/client";
import { queryClient } from "../api/queries";
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

applyTheme();
theme.subscribe(applyTheme);

function App() {
  const session = useStore(sessionState);
  const [error, setError] = useState<unknown>(null);
  const [path] = useLocation();
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
