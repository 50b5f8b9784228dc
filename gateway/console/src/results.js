import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { url } from "./api.js";
import { Context, Text } from "./context.js";
import { count, duration, glimpse, last, shortSource, time } from "./format.js";
import { Histogram } from "./histogram.js";
import { html } from "./html.js";
import { hasEnded, imports, landed, uploads } from "./importing.js";
import { ORDERS } from "./query.js";
import {
  MOST_ROWS,
  close,
  context,
  firstHit,
  live,
  logs,
  open,
  parameters,
  progress,
  rows,
  running,
  search,
  searched,
  selected,
  took,
  total,
} from "./searching.js";
import * as state from "./state.js";
import { Plan, Tabs, Templates, Values } from "./tabs.js";

// Rows are of one height, so that only those in view need to exist.
const ROW = 24;
const MARGIN = 20;
const scroll = signal({ top: 0, height: 600 });

// The column is 19 characters wide: the file's own name; all of the path stands in the context and in the title.
const place = (hit) => `${shortSource(last(hit.source), 18 - String(hit.lineNumber).length)}:${hit.lineNumber}`;

const level = (hit) => (hit.level === "LEVEL_UNSPECIFIED" ? "" : hit.level.toLowerCase());

function Status() {
  const shown = rows.value.length;
  const all = total.value;
  const pieces = [];
  const noun = all === 1 ? "line" : "lines";
  if (live.value) pieces.push(html`live: <strong data-testid="live-total">${count(all ?? 0)}</strong> ${noun} since it began`);
  else if (all !== null) pieces.push(html`<strong data-testid="total">${count(all)}</strong> ${noun}`);
  else if (searched.value && running.value) pieces.push("counting");
  const far = progress.value;
  if (running.value && far && Number(far.linesTotal) > 0) {
    pieces.push(`${count(far.linesDone)} of ${count(far.linesTotal)} lines looked at`);
  }
  if (shown < (all ?? 0) && !running.value && shown >= MOST_ROWS) pieces.push(`first ${count(shown)} shown`);
  if (firstHit.value !== null) pieces.push(html`first hit after <span data-testid="first-hit">${duration(firstHit.value)}</span>`);
  if (took.value !== null) pieces.push(html`<span data-testid="took">${duration(took.value)}</span> in all`);
  return html`
    <p class="status" role="status" data-testid="status">
      ${running.value && html`<span class="spinner" aria-hidden="true"></span> ${live.value ? "" : "searching… "}`}
      ${pieces.map((piece, index) => html`${index > 0 && " · "}${piece}`)}
    </p>
  `;
}

// Rows are drawn again and again while the list is scrolled.
const glimpses = new WeakMap();

function seen(hit) {
  if (!glimpses.has(hit)) glimpses.set(hit, glimpse(hit.text, hit.highlights));
  return glimpses.get(hit);
}

function Row({ hit, index }) {
  return html`
    <div
      id="row-${index}"
      class="row ${selected.value === index ? "selected" : ""}"
      role="option"
      aria-selected=${selected.value === index ? "true" : "false"}
      data-testid="row"
      style=${{ top: `${index * ROW}px` }}
      onClick=${() => open(index)}
    >
      <span class="when">${time(hit.timestamp)}</span>
      <span class="level level-${level(hit)}">${level(hit)}</span>
      <span class="where" title="${hit.source}:${hit.lineNumber}">${place(hit)}</span>
      <span class="text"><${Text} hit=${seen(hit)} /></span>
    </div>
  `;
}

function List() {
  const box = useRef(null);
  const all = rows.value;
  useEffect(() => {
    const measure = () => {
      if (box.current) scroll.value = { top: box.current.scrollTop, height: box.current.clientHeight };
    };
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const move = (event) => {
    const page = Math.max(1, Math.floor(scroll.value.height / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -all.length, End: all.length };
    if (event.key === "Enter") open(selected.value);
    else if (event.key === "Escape") close();
    else if (event.key in steps) {
      const next = Math.min(all.length - 1, Math.max(0, selected.value + steps[event.key]));
      selected.value = next;
      const { scrollTop, clientHeight } = box.current;
      if (next * ROW < scrollTop) box.current.scrollTop = next * ROW;
      else if ((next + 1) * ROW > scrollTop + clientHeight) box.current.scrollTop = (next + 1) * ROW - clientHeight;
      if (context.value) open(next);
    } else return;
    event.preventDefault();
  };
  const first = Math.max(0, Math.floor(scroll.value.top / ROW) - MARGIN);
  const end = Math.min(all.length, Math.ceil((scroll.value.top + scroll.value.height) / ROW) + MARGIN);
  return html`
    <div
      class="rows"
      ref=${box}
      role="listbox"
      aria-label="Matching lines"
      aria-activedescendant=${selected.value >= 0 ? `row-${selected.value}` : undefined}
      tabindex="0"
      data-testid="rows"
      onKeyDown=${move}
      onScroll=${() => (scroll.value = { top: box.current.scrollTop, height: box.current.clientHeight })}
    >
      <div class="rows-all" style=${{ height: `${all.length * ROW}px` }}>
        ${all.slice(first, end).map((hit, offset) => html`<${Row} key=${hit.id} hit=${hit} index=${first + offset} />`)}
      </div>
      ${all.length === 0 && html`<${Nothing} />`}
    </div>
  `;
}

function Nothing() {
  if (live.value) return html`<p class="nothing" data-testid="nothing">Lines appear here as they are read.</p>`;
  if (running.value || state.problem.value || state.wrong.value) return null;
  const busy = uploads.value.length > 0 || imports.value.some((one) => !hasEnded(one));
  if (!state.workspace.value) return html`<p class="nothing">Make a workspace first.</p>`;
  if (busy) {
    return html`<p class="nothing" data-testid="nothing">Nothing found yet. Lines can be found as parts of the import are done.</p>`;
  }
  if (imports.value.length === 0) {
    return html`<p class="nothing" data-testid="nothing">Nothing is imported here yet. Start with a path or a file under Imports.</p>`;
  }
  return html`<p class="nothing" data-testid="nothing">No line matches.</p>`;
}

function Order() {
  if (live.value) return null;
  const choose = (event) => {
    state.order.value = event.target.value;
    search();
  };
  return html`
    <select aria-label="Order" data-testid="order" value=${state.order.value} onChange=${choose}>
      <option value="newest">Newest first</option>
      <option value="oldest">Oldest first</option>
    </select>
  `;
}

// A link, so that the browser itself writes what comes to a file.
function Export() {
  if (!state.workspace.value || state.wrong.value || live.value) return null;
  const path = url(logs("export"), { ...parameters(), orderBy: ORDERS[state.order.value] });
  return html`<a class="button quiet" href=${path} download="${last(state.workspace.value)}.ndjson" title="All matching lines as NDJSON" data-testid="export">Export</a>`;
}

const VIEWS = { lines: List, values: Values, templates: Templates, plan: Plan };

export function Results() {
  const stale = landed.value > 0;
  return html`
    <div class="bar-line">
      <${Status} />
      ${stale &&
      !live.value &&
      html`<button
        class="quiet"
        data-testid="refresh"
        onClick=${() => {
          landed.value = 0;
          search();
        }}
      >New lines were imported: search again</button>`}
    </div>
    <${Histogram} />
    <div class="bar-line">
      <${Tabs} />
      <div class="acts"><${Order} /><${Export} /></div>
    </div>
    <div id="view" class="tabpanel" role="tabpanel" aria-labelledby="tab-${state.tab.value}">
      <${VIEWS[state.tab.value]} />
    </div>
    <${Context} />
  `;
}
