import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { ask } from "./api.js";
import { Banner } from "./banner.js";
import { Header } from "./header.js";
import { html } from "./html.js";
import { ImportPanel } from "./imports.js";
import { landed, load as loadImports } from "./importing.js";
import { Results } from "./results.js";
import { SearchForm } from "./form.js";
import { rows, running, search } from "./searching.js";
import * as state from "./state.js";

const loaded = signal(false);

async function begin() {
  try {
    const { workspaces } = await ask("/v1/workspaces?pageSize=1000");
    state.workspaces.value = workspaces.filter((one) => !one.deleting);
    const known = state.workspaces.value.some((one) => one.name === state.workspace.value);
    if (!known) state.workspace.value = state.workspaces.value[0]?.name ?? "";
  } catch (error) {
    state.show(error);
  }
  loaded.value = true;
}

async function lookAtHealth() {
  try {
    const answer = await fetch("/readyz");
    state.ready.value = { ok: answer.ok, services: (await answer.json()).services ?? {} };
  } catch {
    state.ready.value = { ok: false, services: {} };
  }
  setTimeout(lookAtHealth, document.hidden ? 30_000 : 5_000);
}

function App() {
  return html`
    <${Header} />
    <${Banner} />
    <main class=${state.panel.value ? "" : "wide"}>
      <section class="search" aria-label="Search">
        <${SearchForm} />
        <${Results} />
      </section>
      ${state.panel.value && html`<${ImportPanel} />`}
    </main>
  `;
}

// "/" goes to the query, as in many a pager.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  document.querySelector(".box").focus();
  event.preventDefault();
});

render(html`<${App} />`, document.getElementById("app"));
begin();
lookAtHealth();
effect(() => {
  if (!loaded.value) return;
  // Runs again whenever another workspace is chosen.
  const chosen = state.workspace.value;
  queueMicrotask(() => {
    loadImports();
    if (chosen) search();
  });
});
// What was imported while nothing is shown is shown at once; otherwise the page asks first.
effect(() => {
  if (landed.value === 0) return;
  queueMicrotask(() => {
    if (rows.value.length > 0 || running.value) return;
    landed.value = 0;
    search();
  });
});
