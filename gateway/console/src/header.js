import { signal } from "@preact/signals";
import { ask } from "./api.js";
import { last } from "./format.js";
import { html } from "./html.js";
import { hasEnded, imports } from "./importing.js";
import * as state from "./state.js";

const naming = signal(false);

async function create(event) {
  event.preventDefault();
  const displayName = new FormData(event.target).get("name").trim();
  if (!displayName) return;
  try {
    const made = await ask("/v1/workspaces", { method: "POST", body: { displayName } });
    state.workspaces.value = [...state.workspaces.value, made];
    state.workspace.value = made.name;
    naming.value = false;
  } catch (error) {
    state.show(error);
  }
}

function label(one) {
  const id = last(one.name);
  return one.displayName && one.displayName.toLowerCase() !== id ? `${one.displayName} (${id})` : id;
}

function Health() {
  const known = state.ready.value;
  const bad = Object.entries(known?.services ?? {}).filter(([, one]) => one.status !== "SERVING");
  const text = known === null ? "connecting" : known.ok ? "ready" : bad.length ? `${bad.map(([name]) => name).join(", ")} not ready` : "no connection";
  return html`<span class="health ${known?.ok ? "good" : known === null ? "" : "bad"}" data-testid="health" role="status">${text}</span>`;
}

export function Header() {
  const busy = imports.value.filter((one) => !hasEnded(one)).length;
  return html`
    <header>
      <h1><img src="/assets/icon.svg" alt="" width="22" height="22" /> Log analyzer</h1>
      <label class="picker">
        <span>Workspace</span>
        <select
          data-testid="workspace"
          value=${state.workspace.value}
          onChange=${(event) => (state.workspace.value = event.target.value)}
        >
          ${state.workspaces.value.length === 0 && html`<option value="">none</option>`}
          ${state.workspaces.value.map((one) => html`<option key=${one.name} value=${one.name}>${label(one)}</option>`)}
        </select>
      </label>
      ${naming.value
        ? html`<form class="naming" onSubmit=${create}>
            <input name="name" placeholder="Name of the workspace" maxlength="200" aria-label="Name of the new workspace" autofocus data-testid="workspace-name" />
            <button data-testid="workspace-create">Create</button>
            <button type="button" class="quiet" onClick=${() => (naming.value = false)}>Cancel</button>
          </form>`
        : html`<button class="quiet" data-testid="workspace-new" onClick=${() => (naming.value = true)}>New workspace</button>`}
      <${Health} />
      <button
        class="quiet"
        aria-expanded=${state.panel.value ? "true" : "false"}
        aria-controls="imports"
        data-testid="imports-toggle"
        onClick=${() => (state.panel.value = !state.panel.value)}
      >Imports${busy > 0 ? ` (${busy})` : ""}</button>
    </header>
  `;
}
