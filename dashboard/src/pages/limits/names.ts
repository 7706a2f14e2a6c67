import type { Schemas } from "../../api/client";
import { bytes, short } from "../../ui/text";

export type LimitName = keyof Schemas["OwnerLimits"];

/** Limits with their words and a hint, in the order of the page. */
export const LIMITS: [LimitName, string, string][] = [
  ["requests", "Requests in 10 seconds", "of all keys of the owner"],
  ["key_requests", "Requests in 10 seconds with one key", ""],
  ["waiting_items", "Items that wait", "further submissions are refused until some have run"],
  ["waiting_bytes", "Bytes of items that wait", "of their payloads as JSON"],
  ["uploads", "Uploads at a time", ""],
  ["websockets", "WebSockets", "such as those of this page"],
  ["questions", "Questions at a time", ""],
  ["deliveries", "Receivers of notifications in an hour", "webhooks and e-mails"],
  ["weight", "Weight", "share of the workers beside other owners"],
];

/** The value of a limit, or what is in use of it, in its unit. */
export function limitText(name: string, value: number): string {
  return name.endsWith("bytes") ? bytes(value) : short(value);
}
