// What the page knows. Signals; everything else draws them.
import { signal } from "@preact/signals";
import { fromHash, toHash } from "./query.js";

const start = fromHash(location.hash);

export const workspaces = signal([]);
export const workspace = signal(start.workspace);
export const problem = signal(null);
// null while nothing is known.
export const ready = signal(null);

export const query = signal(start.query);
export const levels = signal(start.levels);
export const from = signal(start.from);
export const to = signal(start.to);
// "newest" or "oldest" first.
export const order = signal(start.order);
// What is shown of the lines that match: "lines", "values", "templates" or "plan".
export const tab = signal("lines");
export const panel = signal(true);

// What is wrong with the query: the sentence, and the place in what was typed (null: nowhere in particular).
export const wrong = signal(null);

export function remember() {
  const fields = { workspace: workspace.value, query: query.value, levels: levels.value };
  const times = { from: from.value, to: to.value, order: order.value };
  history.replaceState(null, "", `#${toHash({ ...fields, ...times })}`);
}

export function show(error) {
  if (error?.name !== "AbortError") problem.value = error;
}
