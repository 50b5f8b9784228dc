// Saved queries: pick, save, delete.
import { effect, signal } from "@preact/signals";
import { ask, url } from "./api.js";
import { html } from "./html.js";
import { ORDERS } from "./query.js";
import { search } from "./searching.js";
import * as state from "./state.js";

const queries = signal([]);
const chosen = signal("");
const naming = signal(false);
// Deleting takes a second click.
const sure = signal(false);

const base = () => `/v1/${state.workspace.value}/savedQueries`;
const byName = (list) => list.sort((one, other) => (one.displayName < other.displayName ? -1 : 1));

async function load() {
  const workspace = state.workspace.value;
  queries.value = [];
  chosen.value = "";
  try {
    for (let token = "", first = true; first || token; first = false) {
      const page = await ask(url(base(), { pageSize: 1000, pageToken: token }));
      if (state.workspace.value !== workspace) return;
      queries.value = [...queries.value, ...page.savedQueries];
      token = page.nextPageToken;
    }
  } catch (error) {
    if (state.workspace.value === workspace) state.show(error);
  }
}

effect(() => {
  if (state.workspace.value) queueMicrotask(load);
});

function pick(name) {
  chosen.value = name;
  sure.value = false;
  const one = queries.value.find((other) => other.name === name);
  if (!one) return;
  state.query.value = one.query;
  state.order.value = one.orderBy === ORDERS.oldest ? "oldest" : "newest";
  state.levels.value = [];
  search();
}

async function save(event) {
  event.preventDefault();
  const displayName = new FormData(event.target).get("name").trim();
  if (!displayName) return;
  const body = { displayName, query: state.query.value, orderBy: ORDERS[state.order.value] };
  const old = queries.value.find((one) => one.displayName === displayName);
  try {
    const made = old
      ? await ask(`/v1/${old.name}`, { method: "PATCH", body })
      : await ask(base(), { method: "POST", body });
    queries.value = byName([...queries.value.filter((one) => one.name !== made.name), made]);
    chosen.value = made.name;
    naming.value = false;
  } catch (error) {
    state.show(error);
  }
}

async function remove() {
  if (!sure.value) {
    sure.value = true;
    return;
  }
  sure.value = false;
  const name = chosen.value;
  try {
    await ask(`/v1/${name}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) return state.show(error);
  }
  queries.value = queries.value.filter((one) => one.name !== name);
  chosen.value = "";
}

export function Saved() {
  const one = queries.value.find((other) => other.name === chosen.value);
  if (naming.value) {
    const escape = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      naming.value = false;
    };
    return html`
      <form class="saved" onSubmit=${save} onKeyDown=${escape}>
        <input name="name" value=${one?.displayName ?? ""} maxlength="200" placeholder="Name of the query" aria-label="Name of the query" ref=${(input) => input?.focus()} data-testid="saved-name" />
        <button data-testid="saved-save">Save</button>
        <button type="button" class="quiet" onClick=${() => (naming.value = false)}>Cancel</button>
      </form>
    `;
  }
  return html`
    <div class="saved">
      <select aria-label="Saved queries" data-testid="saved" value=${chosen.value} disabled=${queries.value.length === 0} onChange=${(event) => pick(event.target.value)}>
        <option value="">${queries.value.length ? "Saved queries" : "No saved queries"}</option>
        ${queries.value.map((other) => html`<option key=${other.name} value=${other.name}>${other.displayName}</option>`)}
      </select>
      <button type="button" class="quiet" data-testid="saved-new" disabled=${!state.workspace.value} onClick=${() => (naming.value = true)}>Save query</button>
      ${one &&
      html`<button type="button" class="quiet ${sure.value ? "danger" : ""}" data-testid="saved-delete" onClick=${remove} onBlur=${() => (sure.value = false)}>
        ${sure.value ? `Delete “${one.displayName}”?` : "Delete"}
      </button>`}
    </div>
  `;
}
