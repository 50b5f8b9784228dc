import { signal } from "@preact/signals";
import { bytes, count, duration, last, lines, seconds } from "./format.js";
import { Files } from "./files.js";
import { html } from "./html.js";
import { act, hasEnded, imports, send, start, uploads } from "./importing.js";
import * as state from "./state.js";

const path = signal("");
const following = signal(false);
const dragging = signal(false);

async function submit(event) {
  event.preventDefault();
  const wanted = path.value.trim();
  if (!wanted) return;
  try {
    await start(wanted, following.value);
    path.value = "";
  } catch (error) {
    state.show(error);
  }
}

function pick(files) {
  for (const file of files) send(file);
}

const WORDS = { QUEUED: "waiting", RUNNING: "running", PAUSED: "paused", SUCCEEDED: "done", FAILED: "failed", CANCELLED: "cancelled" };

// One that follows has read everything there is, for now.
const caughtUp = (one) =>
  one.follow && one.state === "RUNNING" && Number(one.progress?.totalBytes) <= Number(one.progress?.processedBytes);

const word = (one) => (caughtUp(one) ? "following" : (WORDS[one.state] ?? one.state.toLowerCase()));

function facts(one) {
  const progress = one.progress ?? {};
  const found = [lines(one.lineCount), bytes(one.byteCount)];
  if (!hasEnded(one)) {
    if (progress.bytesPerSecond > 0) found.push(`${bytes(progress.bytesPerSecond)}/s`);
    if (progress.eta) found.push(`${duration(seconds(progress.eta))} left`);
  } else if (one.endTime && (one.startTime || one.createTime)) {
    found.push(duration((Date.parse(one.endTime) - Date.parse(one.startTime ?? one.createTime)) / 1000));
  }
  return found.join(" · ");
}

function Import({ one }) {
  const progress = one.progress ?? {};
  const running = !hasEnded(one);
  const button = (verb, label) =>
    html`<button class="quiet" data-testid="import-${verb}" onClick=${() => act(one.name, verb)}>${label}</button>`;
  const share = Number(progress.totalBytes) > 0 ? Number(progress.processedBytes) / Number(progress.totalBytes) : 0;
  const errors = one.sources.flatMap((source) => source.errors ?? []);
  const files = Number(progress.totalFiles) > 1 ? `${count(progress.processedFiles)} of ${count(progress.totalFiles)} files` : "";
  return html`
    <li class="import state-${one.state.toLowerCase()}" data-testid="import" data-state=${one.state}>
      <div class="head">
        <span class="name" title=${one.sources.map((source) => source.path).join("\n")}>
          ${one.sources.map((source) => last(source.path.replace(/\/+$/, "")) || source.path).join(", ")}
        </span>
        <span class="state" data-testid="import-state">${word(one)}</span>
      </div>
      ${running && !caughtUp(one) && html`<progress max="1" value=${share} aria-label="Progress" data-testid="import-progress"></progress>`}
      <div class="facts">
        <span data-testid="import-facts">${facts(one)}</span>
      </div>
      ${running &&
      html`<div class="facts">
        <span>${files}</span>
        <span class="acts">
          ${one.state === "PAUSED" ? button("resume", "Resume") : button("pause", "Pause")}
          ${button("cancel", caughtUp(one) ? "Stop" : "Cancel")}
        </span>
      </div>`}
      ${one.errorMessage && html`<p class=${one.state === "FAILED" ? "failure" : "facts"}>${one.errorMessage}</p>`}
      ${errors.length > 0 &&
      html`<details data-testid="import-errors">
        <summary>${count(one.errorCount)} ${Number(one.errorCount) === 1 ? "file" : "files"} could not be read whole</summary>
        <ul>
          ${errors.slice(0, 20).map((error) => html`<li><span class="path">${error.path}</span> ${error.message}</li>`)}
        </ul>
      </details>`}
      ${Number(one.fileCount) > 0 && html`<${Files} name=${one.name} state=${one.state} />`}
    </li>
  `;
}

function Upload({ one }) {
  const rate = one.sent / Math.max(0.001, (performance.now() - one.began) / 1000);
  const left = rate > 0 ? (one.size - one.sent) / rate : 0;
  return html`
    <li class="import state-running" data-testid="upload">
      <div class="head"><span class="name">${one.name}</span><span class="state">sending</span></div>
      <progress max=${one.size || 1} value=${one.sent} aria-label="Sent"></progress>
      <div class="facts">
        <span>${bytes(one.sent)} of ${bytes(one.size)} · ${bytes(rate)}/s · ${duration(left)} left</span>
        <button class="quiet" onClick=${one.cancel}>Cancel</button>
      </div>
    </li>
  `;
}

export function ImportPanel() {
  const drop = (event) => {
    event.preventDefault();
    dragging.value = false;
    pick(event.dataTransfer.files);
  };
  const over = (event) => {
    event.preventDefault();
    dragging.value = true;
  };
  return html`
    <aside
      id="imports"
      class="imports ${dragging.value ? "dragging" : ""}"
      aria-label="Imports"
      onDragOver=${over}
      onDragLeave=${() => (dragging.value = false)}
      onDrop=${drop}
    >
      <h2>Imports</h2>
      <form onSubmit=${submit}>
        <input
          data-testid="import-path"
          aria-label="Path to import"
          placeholder="/var/log or an archive"
          spellcheck=${false}
          value=${path.value}
          onInput=${(event) => (path.value = event.target.value)}
        />
        <button data-testid="import-start" disabled=${!state.workspace.value}>Import</button>
        <label class="switch" title="Go on with what is written to the files later">
          <input type="checkbox" data-testid="import-follow" checked=${following.value} onChange=${(event) => (following.value = event.target.checked)} />
          Follow what is written later
        </label>
      </form>
      <label class="file">
        <input
          type="file"
          multiple
          data-testid="import-file"
          disabled=${!state.workspace.value}
          onChange=${(event) => {
            pick(event.target.files);
            event.target.value = "";
          }}
        />
        <span>Choose files, or drop them here</span>
      </label>
      <ul class="list" data-testid="imports">
        ${uploads.value.map((one) => html`<${Upload} key=${one.key} one=${one} />`)}
        ${imports.value.map((one) => html`<${Import} key=${one.name} one=${one} />`)}
      </ul>
    </aside>
  `;
}
