/** Shapes of charts, in a space of 1000 by 100 whose origin is at the top left. All functions are pure. */

export const WIDTH = 1000;
export const HEIGHT = 100;

/** The least round number that is not below a value: one digit other than 7 and 9, times a power of ten. */
export function roundMaximum(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 3, 4, 5, 6, 8].find((step) => step * power >= value * 0.999_999) ?? 10) * power;
}

function x(place: number, count: number): number {
  return ((place + 0.5) / count) * WIDTH;
}

function y(value: number, maximum: number): number {
  return Math.round((1 - Math.min(1, Math.max(0, value / maximum))) * HEIGHT * 100) / 100;
}

/** Lines through values. Where a value is absent the line is broken; a value between two gaps is a dot. */
export function lines(values: (number | null)[], maximum: number): string {
  const parts: string[] = [];
  values.forEach((value, place) => {
    if (value === null) return;
    const isFirst = place === 0 || values[place - 1] === null;
    const at = `${round(x(place, values.length))} ${y(value, maximum)}`;
    parts.push(`${isFirst ? "M" : "L"}${at}`);
    if (isFirst && (values[place + 1] ?? null) === null) parts.push("h0.01");
  });
  return parts.join("");
}

/** Columns that stand on those below them. */
export function columns(values: number[], below: number[], maximum: number): string {
  const width = round(Math.max(1, (WIDTH / values.length) * 0.8));
  return values
    .map((value, place) => {
      if (value <= 0) return "";
      const bottom = y(below[place] ?? 0, maximum);
      const top = y((below[place] ?? 0) + value, maximum);
      return `M${round(x(place, values.length) - width / 2)} ${bottom}V${top}h${width}V${bottom}z`;
    })
    .join("");
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Words on what happened in each of some equal steps of time; what happened before or after them is left out. */
export function marksOf(
  events: { at: number; words: string }[],
  start: number,
  stepMs: number,
  count: number,
): string[][] {
  const marks: string[][] = Array.from({ length: count }, () => []);
  if (!(stepMs > 0)) return marks;
  for (const { at, words } of events) {
    const mark = marks[Math.floor((at - start) / stepMs)];
    if (mark && !mark.includes(words)) mark.push(words);
  }
  return marks;
}

/** The place of the value at a share of the width. */
export function placeAt(share: number, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.floor(share * count)));
}
