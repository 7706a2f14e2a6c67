import { type ComponentType, type LazyExoticComponent, lazy } from "react";

type Page = LazyExoticComponent<ComponentType<Record<string, never>>> | LazyExoticComponent<() => React.JSX.Element>;

/** The pages by path. Each is loaded when it is first opened. */
export const ROUTES: [path: string, page: Page][] = [
  ["/", lazy(() => import("../pages/overview/overview"))],
  ["/batches", lazy(() => import("../pages/batches/batches"))],
  ["/batches/:id/:tab?", lazy(() => import("../pages/batch/batch"))],
  ["/submit", lazy(() => import("../pages/submit/submit"))],
  ["/schedules", lazy(() => import("../pages/schedules/schedules"))],
  ["/schedules/:name", lazy(() => import("../pages/schedules/schedule"))],
  ["/templates", lazy(() => import("../pages/templates/templates"))],
  ["/templates/:name", lazy(() => import("../pages/templates/template"))],
  ["/workloads", lazy(() => import("../pages/workloads/workloads"))],
  ["/workloads/:name", lazy(() => import("../pages/workloads/workload"))],
  ["/destinations", lazy(() => import("../pages/workloads/destinations"))],
  ["/workers", lazy(() => import("../pages/workers/workers"))],
  ["/dead-letters", lazy(() => import("../pages/dead-letters/dead-letters"))],
  ["/keys", lazy(() => import("../pages/keys/keys"))],
  ["/limits", lazy(() => import("../pages/limits/limits"))],
  ["/audit", lazy(() => import("../pages/audit/audit"))],
  ["/settings", lazy(() => import("../pages/settings/settings"))],
];
