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

export function remember() {
  const fields = { workspace: workspace.value, query: query.value, levels: levels.value, from: from.value, to: to.value };
  history.replaceState(null, "", `#${toHash(fields)}`);
}

export function show(error) {
  if (error?.name !== "AbortError") problem.value = error;
}
