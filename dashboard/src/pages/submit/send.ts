import { api, bodyOf, fetchText, type Schemas } from "../../api/client";
import type { Format } from "./items";
import { labelsOf, type Options, termsOf } from "./options";

type Submit = Schemas["BatchSubmit"];

/** Submits items that are in memory as one command. Returns the id of the batch. */
export async function sendItems(
  workload: string,
  items: Schemas["NewItem"][],
  options: Options,
  key: string,
): Promise<string> {
  const labels = labelsOf(options.labels);
  const body = {
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
  const accepted = await bodyOf(api.POST("/api/v1/batches", { params: { header: { "Idempotency-Key": key } }, body }));
  return accepted.batch_id;
}

/** Submits a text or a file of items as it is. The browser streams a file, and never holds it whole. */
export async function sendFile(
  workload: string,
  content: Blob,
  format: Format,
  options: Options,
  key: string,
): Promise<string> {
  const terms = termsOf(options);
  const query = new URLSearchParams({ workload, priority: options.priority });
  if (options.name) query.set("name", options.name);
  for (const [name, value] of Object.entries(labelsOf(options.labels))) query.append("label", `${name}=${value}`);
  if (options.webhook) query.append("notify_webhook", options.webhook);
  if (options.email) query.append("notify_email", options.email);
  if (Object.keys(terms).length) query.set("options", JSON.stringify(terms));
  const { text } = await fetchText(`/api/v1/batches?${query}`, {
    method: "POST",
    headers: {
      "Content-Type": format === "csv" ? "text/csv" : "application/x-ndjson",
      "Idempotency-Key": key,
      "X-Batchyard": "dashboard",
    },
    body: content,
  });
  return (JSON.parse(text) as Schemas["CommandAccepted"]).batch_id;
}
