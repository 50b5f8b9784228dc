// What the lines that match have in common, asked for when it is looked at: top values, templates, the plan.
import { batch, effect, signal } from "@preact/signals";
import { ask, url } from "./api.js";
import { asked, logs, parameters, tell } from "./searching.js";
import * as state from "./state.js";

export const field = signal("level");
export const values = signal(null);
export const templates = signal(null);
export const plan = signal(null);
export const loading = signal(false);

const PATHS = { values: "topValues", templates: "templates", plan: "explain" };
const FOUND = { values, templates, plan };

let current = null;

export function showTop(name) {
  field.value = name.trim();
  values.value = null;
  if (field.value) load();
}

async function load() {
  const tab = state.tab.value;
  const found = FOUND[tab];
  if (!found || found.value || !state.workspace.value) return;
  current?.abort();
  const mine = new AbortController();
  current = mine;
  loading.value = true;
  const more = { values: { field: field.value, limit: 50 }, templates: { limit: 200 } }[tab] ?? {};
  try {
    const answer = await ask(url(logs(PATHS[tab]), { ...parameters(), ...more }), { signal: mine.signal });
    if (current === mine) found.value = tab === "values" ? { ...answer, field: field.value } : answer;
  } catch (error) {
    if (current === mine) tell(error);
  } finally {
    if (current === mine) loading.value = false;
  }
}

// Another search makes all of it old; another tab may want what was not asked for yet.
effect(() => {
  if (asked.value === 0) return;
  batch(() => {
    values.value = templates.value = plan.value = null;
  });
});
effect(() => {
  if (asked.value === 0 || state.tab.value === "lines") return;
  queueMicrotask(load);
});
