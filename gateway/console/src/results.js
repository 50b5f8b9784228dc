import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { count, duration, parts, shortSource, time } from "./format.js";
import { Histogram } from "./histogram.js";
import { html } from "./html.js";
import { hasEnded, imports, landed, uploads } from "./importing.js";
import {
  MOST_ROWS,
  close,
  context,
  firstHit,
  open,
  rows,
  running,
  search,
  searched,
  selected,
  took,
  total,
} from "./searching.js";
import * as state from "./state.js";

// Rows are of one height, so that only those in view need to exist.
const ROW = 24;
const MARGIN = 20;
const scroll = signal({ top: 0, height: 600 });

// The column is 33 characters wide; the end of a path says more than its beginning.
const place = (hit) => `${shortSource(hit.source, 32 - String(hit.lineNumber).length)}:${hit.lineNumber}`;

const level = (hit) => (hit.level === "LEVEL_UNSPECIFIED" ? "" : hit.level.toLowerCase());

function Text({ hit, highlights = hit.highlights }) {
  return parts(hit.text, highlights).map((part) => (part.marked ? html`<mark>${part.text}</mark>` : part.text));
}

function Status() {
  const shown = rows.value.length;
  const all = total.value;
  const pieces = [];
  if (all !== null) pieces.push(html`<strong data-testid="total">${count(all)}</strong> ${all === 1 ? "line" : "lines"}`);
  else if (searched.value && running.value) pieces.push("counting");
  if (shown < (all ?? 0) && !running.value && shown >= MOST_ROWS) pieces.push(`first ${count(shown)} shown`);
  if (firstHit.value !== null) pieces.push(html`first hit after <span data-testid="first-hit">${duration(firstHit.value)}</span>`);
  if (took.value !== null) pieces.push(html`<span data-testid="took">${duration(took.value)}</span> in all`);
  return html`
    <p class="status" role="status" data-testid="status">
      ${running.value && html`<span class="spinner" aria-hidden="true"></span> searching…${" "}`}
      ${pieces.map((piece, index) => html`${index > 0 && " · "}${piece}`)}
    </p>
  `;
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
      <span class="text"><${Text} hit=${hit} /></span>
    </div>
  `;
}

function List() {
  const box = useRef(null);
  const all = rows.value;
  useEffect(() => {
    const measure = () => (scroll.value = { top: box.current.scrollTop, height: box.current.clientHeight });
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
  if (running.value || state.problem.value) return null;
  const busy = uploads.value.length > 0 || imports.value.some((one) => !hasEnded(one));
  if (!state.workspace.value) return html`<p class="nothing">Make a workspace first.</p>`;
  if (busy) {
    return html`<p class="nothing" data-testid="nothing">Nothing found yet. Lines can be found as parts of the import are done.</p>`;
  }
  if (imports.value.length === 0) {
    return html`<p class="nothing" data-testid="nothing">Nothing is imported here yet. Start with a path or a file on the right.</p>`;
  }
  return html`<p class="nothing" data-testid="nothing">No line matches.</p>`;
}

function Context() {
  const found = context.value;
  if (!found) return null;
  const line = (hit, main) => html`
    <li key=${hit.id} class="${main ? "main" : ""} ${hit.recordId === found.hit.recordId ? "same" : ""}" data-testid=${main ? "context-hit" : "context-line"}>
      <span class="number">${hit.lineNumber}</span>
      <span class="text">${main ? html`<${Text} hit=${hit} highlights=${found.highlights ?? hit.highlights} />` : hit.text || " "}</span>
    </li>
  `;
  return html`
    <section class="context" aria-label="Context of the line" data-testid="context">
      <header>
        <h2 title=${found.hit.source}>${shortSource(found.hit.source, 120)}</h2>
        <button class="quiet" aria-label="Close context" data-testid="context-close" onClick=${close}>✕</button>
      </header>
      <ol>
        ${found.before.map((hit) => line(hit, false))}
        ${line(found.hit, true)}
        ${found.after.map((hit) => line(hit, false))}
      </ol>
    </section>
  `;
}

export function Results() {
  const stale = landed.value > 0;
  return html`
    <div class="bar-line">
      <${Status} />
      ${stale &&
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
    <${List} />
    <${Context} />
  `;
}
