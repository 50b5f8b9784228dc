// The other views of the lines that match.
import { count, share } from "./format.js";
import { html } from "./html.js";
import { field, loading, plan, showTop, templates, values } from "./looking.js";
import { fieldQuery, fieldsOf, narrowed } from "./query.js";
import { look, rows, search } from "./searching.js";
import * as state from "./state.js";

const TABS = [
  ["lines", "Lines"],
  ["values", "Top values"],
  ["templates", "Templates"],
  ["plan", "Plan"],
];

export function Tabs() {
  const chosen = state.tab.value;
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.findIndex(([name]) => name === chosen);
    const [next] = TABS[(at + step + TABS.length) % TABS.length];
    state.tab.value = next;
    event.currentTarget.querySelector(`#tab-${next}`).focus();
    event.preventDefault();
  };
  return html`
    <div class="tabs" role="tablist" aria-label="Views" onKeyDown=${move}>
      ${TABS.map(
        ([name, label]) => html`<button
          key=${name}
          type="button"
          role="tab"
          id="tab-${name}"
          aria-selected=${chosen === name ? "true" : "false"}
          aria-controls="view"
          tabindex=${chosen === name ? 0 : -1}
          data-testid="tab-${name}"
          onClick=${() => (state.tab.value = name)}
        >${label}</button>`,
      )}
    </div>
  `;
}

const waiting = () => html`<p class="nothing" role="status">${loading.value ? "Looking …" : "Search first."}</p>`;

const shown = (name, value) => (name === "level" ? value.toLowerCase() : value) || "(empty)";

function add(value) {
  state.query.value = narrowed(state.query.value, fieldQuery(values.value.field, value));
  search();
}

function Fields() {
  const names = fieldsOf(rows.value.slice(0, 200).map((hit) => hit.text));
  const submit = (event) => {
    event.preventDefault();
    showTop(new FormData(event.target).get("field"));
  };
  return html`
    <form class="fields" onSubmit=${submit}>
      <label>Field <input name="field" key=${field.value} value=${field.value} spellcheck=${false} autocomplete="off" data-testid="values-field" /></label>
      <button data-testid="values-show">Show</button>
      <div class="chips" role="group" aria-label="Fields of the lines">
        ${names.map(
          (name) => html`<button key=${name} type="button" class="chip plain" aria-pressed=${field.value === name ? "true" : "false"} onClick=${() => showTop(name)}>${name}</button>`,
        )}
      </div>
    </form>
  `;
}

export function Values() {
  const found = values.value;
  return html`
    <div class="view" data-testid="values">
      <${Fields} />
      ${!found && waiting()}
      ${found &&
      html`
        <p class="faint">
          ${count(found.lineCount)} of ${count(found.totalSize)} matching lines have ${found.field}
          ${found.isEstimate && `; counted in ${count(found.linesRead)} of them`}
        </p>
        <table>
          <thead><tr><th>Value</th><th class="number">Lines</th><th class="number">Share</th><td></td></tr></thead>
          <tbody>
            ${found.values.map(
              (one) => html`<tr key=${one.value}>
                <td><button type="button" class="link" title="Only lines with this value" data-testid="value" onClick=${() => add(one.value)}>${shown(found.field, one.value)}</button></td>
                <td class="number">${count(one.count)}</td>
                <td class="number">${share(Number(one.count), Number(found.lineCount))}</td>
                <td class="meter" aria-hidden="true"><span style=${{ width: `${(100 * Number(one.count)) / Number(found.values[0].count)}%` }}></span></td>
              </tr>`,
            )}
          </tbody>
        </table>
        ${found.values.length === 0 && html`<p class="nothing">No matching line has this field.</p>`}
      `}
    </div>
  `;
}

// The parts that vary are fainter than those that stay.
const shape = (text) => text.split(/(<\*>)/).map((part) => (part === "<*>" ? html`<span class="faint">${part}</span>` : part));

export function Templates() {
  const found = templates.value;
  if (!found) return html`<div class="view">${waiting()}</div>`;
  return html`
    <div class="view" data-testid="templates">
      <p class="faint">From ${count(found.linesRead)} of ${count(found.totalSize)} matching lines.</p>
      <table>
        <thead><tr><th class="number">Lines</th><th class="number">Share</th><th>Template</th></tr></thead>
        <tbody>
          ${found.templates.map(
            (one) => html`<tr key=${one.text}>
              <td class="number">${count(one.count)}</td>
              <td class="number">${share(Number(one.count), Number(found.linesRead))}</td>
              <td><button type="button" class="link mono" title="Show an example" data-testid="template" onClick=${() => one.example && look(one.example, 20)}>${shape(one.text)}</button></td>
            </tr>`,
          )}
        </tbody>
      </table>
      ${found.templates.length === 0 && html`<p class="nothing">No line matches.</p>`}
    </div>
  `;
}

export function Plan() {
  const found = plan.value;
  if (!found) return html`<div class="view">${waiting()}</div>`;
  const estimate = (step) => (Number(step.estimate) < 0 ? "?" : count(step.estimate));
  return html`
    <div class="view" data-testid="plan">
      <dl>
        <dt>Understood as</dt>
        <dd class="mono" data-testid="plan-form">${found.normalForm || "every line"}</dd>
        <dt>Parts of the index</dt>
        <dd>${count(Number(found.splits) - Number(found.splitsPruned))} of ${count(found.splits)}${Number(found.splitsPruned) > 0 && "; the times of the others rule them out"}</dd>
        <dt>Lines that may match</dt>
        <dd>${count(found.candidateLines)} of ${count(found.lines)}; ${found.readsLines ? "each is read to know that it matches" : "the index alone tells them"}</dd>
      </dl>
      ${found.steps.length > 0 &&
      html`<table>
        <thead><tr><th>Part</th><th>Found by</th><th class="number">Lines</th></tr></thead>
        <tbody>
          ${found.steps.map((step, index) => html`<tr key=${index}><td class="mono">${step.part}</td><td>${step.method}</td><td class="number">${estimate(step)}</td></tr>`)}
        </tbody>
      </table>`}
    </div>
  `;
}
