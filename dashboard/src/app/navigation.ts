import type { IconName } from "../ui/icon";

export interface Place {
  path: string;
  name: string;
  icon: IconName;
  words: string;
}

/** The pages of the rail, in groups. */
export const GROUPS: [heading: string | null, places: Place[]][] = [
  [
    null,
    [
      { path: "/", name: "Overview", icon: "overview", words: "home start" },
      { path: "/batches", name: "Batches", icon: "batches", words: "jobs list runs" },
      { path: "/submit", name: "Submit", icon: "submit", words: "new batch upload file start" },
    ],
  ],
  [
    "Recurring",
    [
      { path: "/schedules", name: "Schedules", icon: "schedules", words: "cron recurring times" },
      { path: "/templates", name: "Templates", icon: "templates", words: "saved parameters" },
    ],
  ],
  [
    "System",
    [
      { path: "/workloads", name: "Workloads", icon: "workloads", words: "functions schemas" },
      { path: "/destinations", name: "Destinations", icon: "destinations", words: "rates limits circuits hosts" },
      { path: "/workers", name: "Workers", icon: "workers", words: "processes slots" },
      { path: "/dead-letters", name: "Dead letters", icon: "letters", words: "messages replay drop" },
    ],
  ],
  [
    "Access",
    [
      { path: "/keys", name: "Keys", icon: "keys", words: "api tokens scopes revoke" },
      { path: "/limits", name: "Limits", icon: "limits", words: "quota owners" },
      { path: "/audit", name: "Audit", icon: "audit", words: "log changes who" },
      { path: "/settings", name: "Settings", icon: "settings", words: "about version theme keys" },
    ],
  ],
];

export const PLACES = GROUPS.flatMap(([, places]) => places);

export function isAt(place: Place, path: string): boolean {
  return place.path === "/" ? path === "/" : path === place.path || path.startsWith(`${place.path}/`);
}
