// Numbers, times and texts for people. Pure.

const whole = new Intl.NumberFormat("en-US");
const UNITS = ["B", "kB", "MB", "GB", "TB"];

export const count = (number) => whole.format(number);

export const lines = (number) => `${count(number)} ${Number(number) === 1 ? "line" : "lines"}`;

// Decimal units, as disks and networks are sold.
export function bytes(number) {
  let value = Number(number) || 0;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// "1.5s" as protobuf writes durations.
export const seconds = (text) => (text ? Number.parseFloat(text) : 0);

// "2024-05-01T10:00:00.123456Z" without what a reader does not need.
export const time = (text) => (text ? text.replace("T", " ").replace("Z", "").slice(0, 23) : "");

// Cuts a text into marked and unmarked parts. Highlights count code points; a string's own index does not.
export function parts(text, highlights) {
  if (!highlights || highlights.length === 0) return [{ text, marked: false }];
  const points = /[\ud800-\udfff]/.test(text) ? Array.from(text) : null;
  const slice = (start, end) => (points ? points.slice(start, end).join("") : text.slice(start, end));
  const length = points ? points.length : text.length;
  const found = [];
  let at = 0;
  const sorted = [...highlights].sort((one, other) => one.start - other.start);
  for (const { start: wanted, end } of sorted) {
    // Marks of different parts of a query may overlap.
    const start = Math.max(wanted, at);
    if (end > length || start >= end) continue;
    if (start > at) found.push({ text: slice(at, start), marked: false });
    found.push({ text: slice(start, end), marked: true });
    at = end;
  }
  if (at < length) found.push({ text: slice(at, length), marked: false });
  return found;
}

// The part of a text that a row shows: from a little before its first mark where that would not be seen, and not so
// long that drawing it takes time. The highlights are those of the part.
export function glimpse(text, highlights, { seen = 70, before = 30, most = 500 } = {}) {
  const first = highlights?.length ? Math.min(...highlights.map((one) => one.start)) : 0;
  if (first <= seen && text.length <= most) return { text, highlights };
  const points = Array.from(text);
  const begin = first > seen ? first - before : 0;
  const shown = points.slice(begin, begin + most).join("");
  const head = begin > 0 ? "…" : "";
  const moved = (highlights ?? [])
    .map(({ start, end }) => ({ start: start - begin + head.length, end: Math.min(end - begin, most) + head.length }))
    .filter(({ start, end }) => start < end);
  return { text: head + shown + (begin + most < points.length ? "…" : ""), highlights: moved };
}

// What a datetime-local input holds, as UTC; "" stays "".
export function instant(local) {
  if (!local) return "";
  return `${local.length === 16 ? `${local}:00` : local}Z`;
}

// The reverse, for a time that the server gave.
export const local = (utc) => (utc ? utc.slice(0, 19) : "");

// A part of a whole: "12.5 %".
export const share = (part, all) => (all > 0 ? `${((100 * part) / all).toFixed(1)} %` : "");

// The last part of "workspaces/ab12".
export const last = (name) => name.slice(name.lastIndexOf("/") + 1);

// A path's end says more than its beginning.
export function shortSource(path, most) {
  return path.length <= most ? path : `…${path.slice(path.length - most + 1)}`;
}

// The times to ask about for wider bars, where all lines stand in a small part of a histogram; null elsewhere.
export function closer({ buckets, bucketWidth }) {
  const width = seconds(bucketWidth);
  const filled = buckets.flatMap((bucket, index) => (Number(bucket.count) > 0 ? [index] : []));
  if (filled.length === 0 || width < 1 || filled.at(-1) - filled[0] + 1 > buckets.length / 3) return null;
  const end = new Date(Date.parse(buckets[filled.at(-1)].startTime) + width * 1000);
  return { startTime: buckets[filled[0]].startTime, endTime: end.toISOString() };
}
