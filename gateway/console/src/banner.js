import { html } from "./html.js";
import { problem } from "./state.js";

// What went wrong, in the gateway's own sentence.
export function Banner() {
  const error = problem.value;
  if (!error) return null;
  // A query's error points at the place: the line and, below it, a caret.
  const [sentence, ...lines] = error.message.split("\n");
  const extra = (error.violations ?? []).map((one) => one.description).filter((text) => !error.message.includes(text));
  return html`
    <div class="banner" role="alert" data-testid="error">
      <div class="banner-text">
        <p>${sentence}</p>
        ${lines.length > 0 && html`<pre>${lines.join("\n")}</pre>`}
        ${extra.map((text) => html`<p>${text}</p>`)}
        ${error.requestId && html`<p class="faint">Request ${error.requestId}</p>`}
      </div>
      <button class="quiet" aria-label="Dismiss" onClick=${() => (problem.value = null)}>✕</button>
    </div>
  `;
}
