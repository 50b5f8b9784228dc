// The query that is sent: what was typed, and the chosen levels. Pure.

export const LEVELS = ["trace", "debug", "info", "notice", "warn", "error", "critical", "fatal"];

export function withLevels(text, levels) {
  const typed = text.trim();
  const chosen = LEVELS.filter((level) => levels.includes(level)).map((level) => `level:${level}`);
  if (chosen.length === 0) return typed;
  const either = chosen.length === 1 ? chosen[0] : `(${chosen.join(" OR ")})`;
  return typed ? `(${typed}) AND ${either}` : either;
}

// The page's address holds the search, so that a reload or a link shows the same.
export function toHash({ workspace, query, levels, from, to }) {
  const fields = new URLSearchParams();
  if (workspace) fields.set("w", workspace);
  if (query) fields.set("q", query);
  if (levels.length) fields.set("l", levels.join(","));
  if (from) fields.set("from", from);
  if (to) fields.set("to", to);
  return fields.toString();
}

export function fromHash(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const levels = (fields.get("l") ?? "").split(",").filter((level) => LEVELS.includes(level));
  return {
    workspace: fields.get("w") ?? "",
    query: fields.get("q") ?? "",
    levels,
    from: fields.get("from") ?? "",
    to: fields.get("to") ?? "",
  };
}
