// The query that is sent: what was typed, and the chosen levels; and what is wrong with it. Pure.

export const LEVELS = ["trace", "debug", "info", "notice", "warn", "error", "critical", "fatal"];
export const ORDERS = { newest: "timestamp desc", oldest: "timestamp" };

export function withLevels(text, levels) {
  const typed = text.trim();
  const chosen = LEVELS.filter((level) => levels.includes(level)).map((level) => `level:${level}`);
  if (chosen.length === 0) return typed;
  const either = chosen.length === 1 ? chosen[0] : `(${chosen.join(" OR ")})`;
  return typed ? `(${typed}) AND ${either}` : either;
}

// Where and why the service could not read the query, in terms of what was typed. The service counts characters of
// what was sent: the text without the blanks around it, behind a parenthesis where it was `wrapped` for the levels.
// null: the problem is another one.
export function mistake(problem, text, wrapped) {
  if (problem?.reason !== "QUERY_SYNTAX") return null;
  const [first] = problem.message.split("\n");
  const sentence = first.replace(/^query:? /, "").replace(/ at character \d+$/, "");
  const sent = Number.parseInt(problem.metadata?.position ?? "", 10);
  if (Number.isNaN(sent)) return { sentence, position: null };
  const typed = Array.from(text);
  const blanks = typed.length - Array.from(text.trimStart()).length;
  return { sentence, position: Math.min(Math.max(0, wrapped ? sent - 1 : sent) + blanks, typed.length) };
}

// The place as the reader sees it: the typed text cut to its surroundings, and the column of the caret.
export function excerpt(text, position, most = 100) {
  const typed = Array.from(text.replaceAll("\t", " "));
  const begin = Math.max(0, Math.min(position - Math.floor(most / 2), typed.length - most));
  const end = Math.min(typed.length, begin + most);
  const head = begin > 0 ? "…" : "";
  const shown = head + typed.slice(begin, end).join("") + (end < typed.length ? "…" : "");
  return { text: shown, column: position - begin + head.length };
}

const inQuotes = (text) => `"${text.replace(/[\\"]/g, "\\$&")}"`;
// ".." would be a range.
const quoted = (value) => (/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(value) && !value.includes("..") ? value : inQuotes(value));
const name = (field) => (/^[A-Za-z_@][\w.@-]*$/.test(field) ? field : inQuotes(field));

// What finds lines whose field has the value.
export function fieldQuery(field, value) {
  return `${name(field)}:${field === "level" ? value.toLowerCase() : quoted(value)}`;
}

// The query with one more condition. OR binds more loosely than AND.
export function narrowed(text, condition) {
  const typed = text.trim();
  if (!typed) return condition;
  if (typed.split(/\s+/).includes(condition)) return typed;
  return `${/(^|\s)OR(\s|$)/.test(typed) ? `(${typed})` : typed} ${condition}`;
}

// Names of fields that the texts have, the most frequent first: keys of JSON, and what stands before "=".
export function fieldsOf(texts, most = 12) {
  const counts = new Map();
  const note = (name) => counts.set(name, (counts.get(name) ?? 0) + 1);
  const walk = (object, prefix, depth) => {
    for (const [key, value] of Object.entries(object)) {
      if (value !== null && typeof value === "object" && !Array.isArray(value)) {
        if (depth < 3) walk(value, `${prefix}${key}.`, depth + 1);
      } else if (/^[\w.@-]+$/.test(prefix + key)) note(prefix + key);
    }
  };
  for (const text of texts) {
    let found = null;
    if (text.startsWith("{")) {
      try {
        found = JSON.parse(text);
      } catch {
        // Not JSON after all.
      }
    }
    if (found) walk(found, "", 0);
    else for (const name of new Set(Array.from(text.matchAll(/(?:^|[\s,;([])([A-Za-z_][\w.-]{0,40})=/g), (match) => match[1]))) note(name);
  }
  const known = [...counts].sort((one, other) => other[1] - one[1]).slice(0, most);
  return ["level", "source", ...known.map(([name]) => name).filter((name) => name !== "level" && name !== "source")];
}

// The page's address holds the search, so that a reload or a link shows the same.
export function toHash({ workspace, query, levels, from, to, order }) {
  const fields = new URLSearchParams();
  if (workspace) fields.set("w", workspace);
  if (query) fields.set("q", query);
  if (levels.length) fields.set("l", levels.join(","));
  if (from) fields.set("from", from);
  if (to) fields.set("to", to);
  if (order === "oldest") fields.set("o", order);
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
    order: fields.get("o") === "oldest" ? "oldest" : "newest",
  };
}
