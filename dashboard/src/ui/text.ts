/** Numbers, times and hostile strings as text. All functions are pure. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * The format of times for these options, which is made once: the browser takes long to make one, and to discard many of them
 * together.
 */
function timeFormat(language: string, zone: "utc" | "local", options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language} ${zone} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(language, zone === "utc" ? { ...options, timeZone: "UTC" } : options);
    formats.set(key, format);
  }
  return format;
}

export function whole(value: number): string {
  return WHOLE.format(value);
}

/** A count in at most five characters; below 100,000 all digits are shown. */
export function short(value: number): string {
  return value < 100_000 ? WHOLE.format(value) : SHORT.format(value);
}

export function countOf(value: number, one: string, many = `${one}s`): string {
  return `${whole(value)} ${value === 1 ? one : many}`;
}

/** Items a second, with one digit after the point below ten. */
export function perSecond(value: number): string {
  if (value > 0 && value < 0.1) return `${whole(Math.max(1, Math.round(value * 3600)))}/h`;
  return `${value < 10 ? String(Math.round(value * 10) / 10) : whole(value)}/s`;
}

/** A length of time in its two largest units, such as `2 h 5 min`. */
export function duration(seconds: number): string {
  const left = Math.max(0, seconds);
  if (left < 1) return left === 0 ? "0 s" : `${Math.max(1, Math.round(left * 1000))} ms`;
  if (left < 10) return `${Math.round(left * 10) / 10} s`;
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let rest = Math.round(left);
  const at = units.findIndex(([size]) => rest >= size);
  const parts: string[] = [];
  for (const [size, name] of units.slice(at, at + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

/** A length of time that was estimated, in its largest unit, such as `25 min`. */
export function roughly(seconds: number): string {
  if (seconds < 10) return "some seconds";
  if (seconds < 90) return `${Math.round(seconds / 5) * 5} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 1_800) / 2} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** The distance of a time from now: `in 5 min`, `2 h ago`, `just now`. */
export function distance(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) return "just now";
  const text =
    size < 60
      ? `${size} s`
      : size < 3_600
        ? `${Math.floor(size / 60)} min`
        : size < 86_400
          ? `${Math.floor(size / 3_600)} h`
          : `${Math.floor(size / 86_400)} d`;
  return seconds > 0 ? `in ${text}` : `${text} ago`;
}

/** A time in full, in UTC or in the zone of the browser. */
export function exactTime(at: number, zone: "utc" | "local"): string {
  const options: Intl.DateTimeFormatOptions = {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  };
  return timeFormat("sv", zone, options).format(at);
}

/** The time of day for an estimate, with the date when it is another day. */
export function clockTime(at: number, now: number, zone: "utc" | "local"): string {
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (Math.abs(at - now) > 20 * 3_600_000) Object.assign(options, { day: "numeric", month: "short" });
  return timeFormat("en-GB", zone, options).format(at);
}

/** The time of a step in a chart: with seconds when steps are short, with the day when the chart spans more than one. */
export function stepTime(at: number, stepS: number, count: number, zone: "utc" | "local"): string {
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (stepS < 60) options.second = "2-digit";
  if (stepS * count > 20 * 3_600) Object.assign(options, { day: "numeric", month: "short" });
  return timeFormat("en-GB", zone, options).format(at);
}

/** A share in per cent, rounded down, so that 100 stands for all. */
export function percent(part: number, total: number): string {
  if (total <= 0) return "0 %";
  const share = (part / total) * 100;
  const floored = share < 10 || (share > 99 && share < 100) ? Math.floor(share * 10) / 10 : Math.floor(share);
  return `${floored} %`;
}

export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  if (count < 1_000_000) return `${Math.round(count / 100) / 10} kB`;
  if (count < 1_000_000_000) return `${Math.round(count / 100_000) / 10} MB`;
  return `${Math.round(count / 100_000_000) / 10} GB`;
}

/** Control characters but line ends and tabs, and characters that change the direction of text or cannot be seen. */
const INVISIBLE = /[\p{Cf}\p{Zl}\p{Zp}]|[^\P{Cc}\t\n\r]/gu;

/** Foreign text, with characters that cannot be seen written as `\uXXXX`. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (found) => `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

/** The first characters of a foreign text, for a list. */
export function excerpt(text: string, length = 200): string {
  return visible(text.length > length ? `${text.slice(0, length)}…` : text);
}

/** JSON text with line breaks and indents. Numbers and strings stay as they were written. */
export function indented(json: string): string {
  let result = "";
  let depth = 0;
  let at = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  while (at < json.length) {
    const sign = json[at] as string;
    if (sign === '"') {
      let end = at + 1;
      while (end < json.length && json[end] !== '"') end += json[end] === "\\" ? 2 : 1;
      result += json.slice(at, end + 1);
      at = end + 1;
      continue;
    }
    if (sign === "{" || sign === "[") {
      const closing = sign === "{" ? "}" : "]";
      const next = /^\s*/.exec(json.slice(at + 1, at + 64))?.[0].length ?? 0;
      if (json[at + 1 + next] === closing) {
        result += sign + closing;
        at += next + 2;
        continue;
      }
      depth += 1;
      result += sign + line();
    } else if (sign === "}" || sign === "]") {
      depth = Math.max(0, depth - 1);
      result += line() + sign;
    } else if (sign === ",") result += sign + line();
    else if (sign === ":") result += ": ";
    else if (!/\s/.test(sign)) result += sign;
    at += 1;
  }
  return result;
}

/** The address when it may be a link: http and https alone. */
export function safeAddress(text: string): URL | null {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}
