import { QueryClientProvider } from "@tanstack/react-query";
import { Component, type ReactNode, Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Link, Route, Switch, useLocation } from "wouter";
import { sessionState } from "../api/client";
import { queryClient } from "../api/queries";
import { SignInPage } from "../pages/sign-in/sign-in";
import { PageHead } from "../ui/page";
import { Empty, ErrorMessage, Skeleton } from "../ui/panel";
import "../styles/index.css";
import { applyTheme, theme } from "./preferences";
import { ROUTES } from "./routes";
import { checkSession } from "./session";
import { Shell } from "./shell";
import { useStore } from "./store";

applyTheme();
theme.subscribe(applyTheme);

/** Keeps a defect of one page from taking the others along. After an update, the files of a page may be gone. */
class PageBoundary extends Component<{ children: ReactNode; path: string }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidUpdate(before: { path: string }) {
    if (before.path !== this.props.path && this.state.error !== null) this.setState({ error: null });
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return <ErrorMessage error={this.state.error} onRetry={() => location.reload()} />;
  }
}

function App() {
  const session = useStore(sessionState);
  const [error, setError] = useState<unknown>(null);
  const [path] = useLocation();
  useEffect(() => {
    checkSession().catch(setError);
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
      <PageBoundary path={path}>
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
      </PageBoundary>
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
    </QueryClientProvider>,
  );
}
