/** Symbols of the page, drawn on a grid of 16. They are decoration: the word beside each one says the same. */
const PATHS = {
  overview: "M2.5 13.5V9M6.2 13.5V5.5M9.8 13.5V8M13.5 13.5V2.5",
  batches: "M2.5 4h11M2.5 8h8M2.5 12h5",
  submit: "M8 3v10M3 8h10",
  schedules: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4M8 4.6V8l2.4 1.6",
  templates: "M4 1.8h5.5L12.5 5v9.2H4zM9.2 2v3.3h3.2M6.2 8.3h4.2M6.2 11h4.2",
  workloads: "M8 1.8 13.8 5v6L8 14.2 2.2 11V5zM2.4 5.1 8 8.3l5.6-3.2M8 8.3v5.7",
  destinations: "M2 8h8.5M7.5 4.5 11 8l-3.5 3.5M14 3v10",
  workers:
    "M4.2 4.2h7.6v7.6H4.2zM6.5 1.8v2.4M9.5 1.8v2.4M6.5 11.8v2.4M9.5 11.8v2.4M1.8 6.5h2.4M1.8 9.5h2.4M11.8 6.5h2.4M11.8 9.5h2.4",
  letters: "M1.8 3.8h12.4v8.4H1.8zM2 4l6 4.8L14 4",
  keys: "M9.8 9.4a3.6 3.6 0 1 0-3.2-3.2L1.9 10.9v3.2h3.2v-1.9H7v-1.9zM10.9 5.1h.01",
  limits: "M2 12.5a6.2 6.2 0 1 1 12 0M8 11l3-4.2",
  audit: "M3.5 1.8h9v12.4h-9zM6 5h4M6 8h4M6 11h2.2",
  settings:
    "M2 4.6h6.4M12 4.6h2M2 11.4h2M7.6 11.4H14M10.2 6.6a2 2 0 1 0 0-4 2 2 0 0 0 0 4M5.8 13.4a2 2 0 1 0 0-4 2 2 0 0 0 0 4",
  running: "M5 3.2v9.6l7.6-4.8z",
  paused: "M5.2 3.5v9M10.8 3.5v9",
  waiting: "M4 2h8M4 14h8M4.8 2v2.6L8 8l3.2-3.4V2M4.8 14v-2.6L8 8l3.2 3.4V14",
  growing: "M8 13.5V4M4.5 7.2 8 3.7l3.5 3.5",
  completed: "M3 8.6 6.3 12 13 4.6",
  partial: "M8 2.2a5.8 5.8 0 1 0 0 11.6zM8 2.2a5.8 5.8 0 0 1 0 11.6",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12M3.9 3.9l8.2 8.2",
  expired: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4M8 4.6V8h3",
  duplicate: "M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1",
  warning: "M8 2 14.6 13.6H1.4zM8 6.4v3.4M8 11.8h.01",
  information: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4M8 7.4v3.6M8 5h.01",
  circuit: "M1.8 8H5l2-3.4M11 8h3.2M5 8h.01M11 8h.01M8.6 3.2l.8-1.4",
  retry: "M13.4 8A5.4 5.4 0 1 1 11.6 4M13.2 1.8v3.1h-3.1",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10M10.8 10.8 14 14",
  live: "M8 10.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2",
  polling: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4M8 8V1.8",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M12.7 3.3l-1 1M4.3 11.7l-1 1",
  moon: "M13.6 9.8A6 6 0 0 1 6.2 2.4a6 6 0 1 0 7.4 7.4z",
  person: "M8 8.2a2.9 2.9 0 1 0 0-5.8 2.9 2.9 0 0 0 0 5.8M2.6 14c.5-2.6 2.7-3.8 5.4-3.8s4.900 1.200 5.4 3.800",
  more: "M3.4 8h.01M8 8h.01M12.600 8h.01",
  next: "M6 3.5 10.500 8 6 12.500",
  back: "M10 3.5 5.500 8 10 12.500",
  down: "M3.500 6 8 10.500 12.500 6",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.500 5.500h8v8h-8zM3.500 10.500h-1v-8h8v1",
  download: "M8 2v8M4.700 7 8 10.300 11.300 7M2.500 13.600h11",
  file: "M4 1.800h5.500L12.500 5v9.200H4zM9.200 2v3.300h3.200",
  stop: "M4 4h8v8H4z",
  link: "M6.600 9.400a2.600 2.600 0 0 0 3.700 0l2.500-2.500a2.600 2.600 0 0 0-3.700-3.700l-.8.8M9.400 6.600a2.600 2.600 0 0 0-3.700 0L3.200 9.100a2.600 2.600 0 0 0 3.700 3.700l.8-.8",
  book: "M2 3.200c2.400-.9 4.400-.6 6 .6 1.600-1.200 3.600-1.500 6-.6v9.600c-2.400-.9-4.400-.6-6 .6-1.600-1.200-3.600-1.500-6-.6zM8 3.800v9.600",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill={name === "live" || name === "running" || name === "stop" ? "currentColor" : "none"}
      stroke="currentColor"
      strokeWidth={name === "more" ? 2.6 : 1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
