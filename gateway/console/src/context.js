// A line among its neighbours, in the middle of what is seen.
import { useEffect, useRef } from "preact/hooks";
import { glimpse, lines as linesOf, parts, shortSource } from "./format.js";
import { html } from "./html.js";
import { close, context, look } from "./searching.js";

export function Text({ hit, highlights = hit.highlights }) {
  return parts(hit.text, highlights).map((part) => (part.marked ? html`<mark>${part.text}</mark>` : part.text));
}

// Of a line that is longer than a book nobody reads all: the part around its first mark.
const LONGEST = 20_000;
const whole = (hit, highlights = []) => glimpse(hit.text, highlights, { seen: LONGEST / 2, before: LONGEST / 2, most: LONGEST });

export function Context() {
  const found = context.value;
  const list = useRef(null);
  const id = found?.hit.id;
  const around = found ? found.before.length + found.after.length : 0;
  useEffect(() => {
    const box = list.current;
    const main = box?.querySelector(".main");
    if (main) box.scrollTop = main.offsetTop - (box.clientHeight - main.offsetHeight) / 2;
  }, [id, around]);
  if (!found) return null;
  const line = (hit, main) => html`
    <li key=${hit.id} class="${main ? "main" : ""} ${hit.recordId && hit.recordId === found.hit.recordId ? "same" : ""}" aria-current=${main ? "true" : undefined} data-testid=${main ? "context-hit" : "context-line"}>
      <span class="number">${hit.lineNumber}</span>
      <span class="text">${main ? html`<${Text} hit=${whole(hit, found.highlights ?? hit.highlights)} />` : whole(hit).text || " "}</span>
    </li>
  `;
  return html`
    <section class="context" aria-label="Context of the line" data-testid="context" onKeyDown=${(event) => event.key === "Escape" && close()}>
      <header>
        <h2 title=${found.hit.source}>${shortSource(found.hit.source, 120)}:${found.hit.lineNumber}</h2>
        ${found.fresh && html`<span class="faint">its neighbours can be shown in a moment</span>`}
        ${!found.whole &&
        html`<button class="quiet" data-testid="context-more" disabled=${found.loading} onClick=${() => look({ ...found.hit, highlights: found.highlights }, found.reach * 4)}>
          More lines
        </button>`}
        <span class="faint">${linesOf(around + 1)}</span>
        <button class="quiet" aria-label="Close context" data-testid="context-close" onClick=${close}>✕</button>
      </header>
      <ol ref=${list} tabindex="0" aria-label="Lines around it">
        ${found.before.map((hit) => line(hit, false))}
        ${line(found.hit, true)}
        ${found.after.map((hit) => line(hit, false))}
      </ol>
    </section>
  `;
}
