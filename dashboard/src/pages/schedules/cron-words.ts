/** Common cron expressions in words. The times themselves come from the server, which alone decides on them. */

const NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

export function cronWords(cron: string): string {
  const parts = cron.trim().split(/\s+/);
  if (parts.length !== 5) return "at the times of its expression";
  const [minute, hour, day, month, named] = parts as [string, string, string, string, string];
  const weekday = named.toUpperCase().replace(/[A-Z]{3}/g, (name) => {
    const number = NAMES.indexOf(name);
    return number < 0 ? name : String(number);
  });
  const daily = day === "*" && month === "*";
  const every = /^\*\/(\d+)$/.exec(minute);
  if (daily && weekday === "*" && hour === "*") {
    if (minute === "*") return "every minute";
    if (every) return `every ${every[1]} minutes`;
    if (/^\d+$/.test(minute)) return minute === "0" ? "every hour" : `every hour, ${minute} min past`;
  }
  if (!/^\d+$/.test(minute) || !/^\d+$/.test(hour)) return "at the times of its expression";
  const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (daily && weekday === "*") return `every day at ${time}`;
  if (daily && weekday === "1-5") return `Monday to Friday at ${time}`;
  if (daily && /^[0-7]$/.test(weekday)) return `every ${DAYS[Number(weekday)]} at ${time}`;
  if (month === "*" && weekday === "*" && /^\d+$/.test(day)) return `on day ${day} of each month at ${time}`;
  return "at the times of its expression";
}
