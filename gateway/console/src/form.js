import { html } from "./html.js";
import { LEVELS } from "./query.js";
import { cancel, running, search } from "./searching.js";
import * as state from "./state.js";

function toggle(level) {
  const chosen = state.levels.value;
  state.levels.value = chosen.includes(level) ? chosen.filter((one) => one !== level) : [...chosen, level];
  search();
}

function submit(event) {
  event.preventDefault();
  search();
}

function clearTimes() {
  state.from.value = state.to.value = "";
  search();
}

const bound = (signal) => (event) => (signal.value = event.target.value);

export function SearchForm() {
  const ranged = state.from.value || state.to.value;
  return html`
    <form class="query" role="search" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && cancel()}>
      <div class="line">
        <input
          type="search"
          class="box"
          data-testid="query"
          aria-label="Query"
          placeholder='timeout AND (disk OR "read error") NOT debug — empty shows everything'
          autocomplete="off"
          spellcheck=${false}
          autofocus
          value=${state.query.value}
          onInput=${bound(state.query)}
        />
        ${running.value
          ? html`<button type="button" class="stop" data-testid="cancel" onClick=${cancel}>Cancel</button>`
          : html`<button class="main" data-testid="search" disabled=${!state.workspace.value}>Search</button>`}
      </div>
      <div class="line filters">
        <div class="chips" role="group" aria-label="Levels">
          ${LEVELS.map(
            (level) => html`<button
              key=${level}
              type="button"
              class="chip level-${level}"
              aria-pressed=${state.levels.value.includes(level) ? "true" : "false"}
              data-testid="level-${level}"
              onClick=${() => toggle(level)}
            >${level}</button>`,
          )}
        </div>
        <div class="range">
          <label>From <input type="datetime-local" step="1" data-testid="from" value=${state.from.value} onChange=${bound(state.from)} /></label>
          <label>to <input type="datetime-local" step="1" data-testid="to" value=${state.to.value} onChange=${bound(state.to)} /></label>
          <span class="faint">UTC</span>
          ${ranged && html`<button type="button" class="quiet" data-testid="range-clear" onClick=${clearTimes}>Any time</button>`}
        </div>
      </div>
    </form>
  `;
}
