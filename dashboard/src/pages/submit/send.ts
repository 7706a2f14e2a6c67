import { api, bodyOf, fetchText, type Schemas } from "../../api/client";
import type { Format } from "./items";
import { labelsOf, type Options, termsOf } from "./options";

type Submit = Schemas["BatchSubmit"];
export type Check = Schemas["BatchCheck"];

/** Submits items that are in memory as one command. Returns the id of the batch. */
export async function sendItems(
  workload: string,
  items: Schemas["NewItem"][],
  options: Options,
  key: string,
): Promise<string> {
  const accepted = await bodyOf(
    api.POST("/api/v1/batches", {
      params: { header: { "Idempotency-Key": key } },
      body: commandOf(workload, items, options),
    }),
  );
  return accepted.batch_id;
}

/** Checks items that are in memory, and submits nothing. */
export function checkItems(workload: string, items: Schemas["NewItem"][], options: Options): Promise<Check> {
  return bodyOf(api.POST("/api/v1/batch-check", { body: commandOf(workload, items, options) }));
}

function commandOf(workload: string, items: Schemas["NewItem"][], options: Options): Submit {
  const labels = labelsOf(options.labels);
  return {
    workload,
    items,
    priority: options.priority,
    ...(options.name ? { name: options.name } : {}),
    ...(Object.keys(labels).length ? { labels } : {}),
    ...(options.webhook || options.email
      ? {
          notify: {
            ...(options.webhook ? { webhooks: [options.webhook] } : {}),
            ...(options.email ? { emails: [options.email] } : {}),
          },
        }
      : {}),
    ...termsOf(options),
  } as unknown as Submit;
}

/** Submits a text or a file of items as it is. The browser streams a file, and never holds it whole. */
export async function sendFile(
  workload: string,
  content: Blob,
  format: Format,
  options: Options,
  key: string,
): Promise<string> {
  const { text } = await fetchText(`/api/v1/batches?${queryOf(workload, options)}`, {
    method: "POST",
    headers: { ...headersOf(format), "Idempotency-Key": key },
    body: content,
  });
  return (JSON.parse(text) as Schemas["CommandAccepted"]).batch_id;
}

/** Checks a text or a file of items, and submits nothing. */
export async function checkFile(workload: string, content: Blob, format: Format, options: Options): Promise<Check> {
  const { text } = await fetchText(`/api/v1/batch-check?${queryOf(workload, options)}`, {
    method: "POST",
    headers: headersOf(format),
    body: content,
  });
  return JSON.parse(text);
}

function headersOf(format: Format): Record<string, string> {
  return {
    "Content-Type": format === "csv" ? "text/csv" : "application/x-ndjson",
    "X-Batchyard": "dashboard",
  };
}

function queryOf(workload: string, options: Options): URLSearchParams {
  const terms = termsOf(options);
  const query = new URLSearchParams({ workload, priority: options.priority });
  if (options.name) query.set("name", options.name);
  for (const [name, value] of Object.entries(labelsOf(options.labels))) query.append("label", `${name}=${value}`);
  if (options.webhook) query.append("notify_webhook", options.webhook);
  if (options.email) query.append("notify_email", options.email);
  if (Object.keys(terms).length) query.set("options", JSON.stringify(terms));
  return query;
}
