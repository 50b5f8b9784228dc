import { signal } from "@preact/signals";
import { local } from "./format.js";
import { Help } from "./help.js";
import { html } from "./html.js";
import { LEVELS, excerpt } from "./query.js";
import { Saved } from "./saved.js";
import { cancel, live, running, search, tail } from "./searching.js";
import * as state from "./state.js";

const helping = signal(false);

// Spans that are asked for most, in minutes.
const SPANS = [
  ["15 minutes", 15],
  ["hour", 60],
  ["day", 1440],
  ["week", 10_080],
];

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

function last(minutes) {
  state.from.value = local(new Date(Date.now() - minutes * 60_000).toISOString());
  state.to.value = "";
  search();
}

function keys(event) {
  if (event.key !== "Escape") return;
  if (running.value) cancel();
  else helping.value = false;
}

const bound = (signal) => (event) => (signal.value = event.target.value);

function type(event) {
  state.query.value = event.target.value;
  state.wrong.value = null;
}

export function example(text) {
  state.query.value = text;
  helping.value = false;
  search();
}

// The query again with a caret under the place that could not be read.
function Wrong() {
  const wrong = state.wrong.value;
  if (!wrong) return null;
  const place = wrong.position === null ? null : excerpt(state.query.value, wrong.position);
  return html`
    <div class="wrong" id="wrong" role="alert" data-testid="query-error">
      ${place && html`<pre aria-hidden="true">${place.text}${"\n"}${" ".repeat(place.column)}<b>^</b></pre>`}
      <p>${wrong.sentence}${wrong.position !== null && ` (character ${wrong.position + 1})`}</p>
    </div>
  `;
}

export function SearchForm() {
  const ranged = state.from.value || state.to.value;
  return html`
    <section class="query" onKeyDown=${keys}>
      <form class="line" role="search" onSubmit=${submit}>
        <input
          type="search"
          class="box"
          data-testid="query"
          aria-label="Query"
          aria-invalid=${state.wrong.value ? "true" : "false"}
          aria-describedby=${state.wrong.value ? "wrong" : undefined}
          placeholder='timeout AND (disk OR "read error") NOT debug — empty shows everything'
          autocomplete="off"
          spellcheck=${false}
          autofocus
          value=${state.query.value}
          onInput=${type}
        />
        <button
          type="button"
          class="quiet"
          aria-expanded=${helping.value ? "true" : "false"}
          aria-controls="help"
          data-testid="help-toggle"
          onClick=${() => (helping.value = !helping.value)}
        >Help</button>
        <button
          type="button"
          class=${live.value ? "stop" : ""}
          aria-pressed=${live.value ? "true" : "false"}
          title="Show lines as they are read"
          data-testid="tail"
          disabled=${!state.workspace.value}
          onClick=${() => (live.value ? cancel() : tail())}
        >${live.value ? "Stop" : "Live"}</button>
        ${running.value && !live.value
          ? html`<button type="button" class="stop" data-testid="cancel" onClick=${cancel}>Cancel</button>`
          : html`<button class="main" data-testid="search" disabled=${!state.workspace.value}>Search</button>`}
      </form>
      <${Wrong} />
      ${helping.value && html`<${Help} onPick=${example} />`}
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
        <${Saved} />
      </div>
      <div class="line filters">
        <div class="range">
          <label>From <input type="datetime-local" step="1" data-testid="from" value=${state.from.value} onChange=${bound(state.from)} /></label>
          <label>to <input type="datetime-local" step="1" data-testid="to" value=${state.to.value} onChange=${bound(state.to)} /></label>
          <span class="faint">UTC</span>
          <select aria-label="Time range" data-testid="last" value="" onChange=${(event) => (event.target.value ? last(Number(event.target.value)) : clearTimes())}>
            <option value="">${ranged ? "Any time" : "Last …"}</option>
            ${SPANS.map(([label, minutes]) => html`<option key=${label} value=${minutes}>Last ${label}</option>`)}
          </select>
          ${ranged && html`<button type="button" class="quiet" data-testid="range-clear" onClick=${clearTimes}>Any time</button>`}
        </div>
      </div>
    </section>
  `;
}
