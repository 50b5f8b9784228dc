// What is known of each text that an import has read; asked for when it is looked at.
import { useEffect, useState } from "preact/hooks";
import { bytes, count, lines, shortSource, time } from "./format.js";
import { html } from "./html.js";
import { filesOf } from "./importing.js";
import * as state from "./state.js";

const WORDS = { UNCHANGED: "nothing new", APPENDED: "only its end was new", INCOMPLETE: "not read whole" };

function File({ file }) {
  const facts = [lines(file.lineCount), bytes(file.byteCount), file.format || "no times", file.encoding];
  if (file.startTime) facts.push(`${time(file.startTime).slice(0, 19)} to ${time(file.endTime).slice(0, 19)}`);
  if (WORDS[file.state]) facts.push(WORDS[file.state]);
  return html`
    <li data-testid="import-file-row">
      <span class="path" title=${file.path}>${shortSource(file.path, 80)}</span>
      <span>${facts.filter(Boolean).join(" · ")}</span>
      ${file.levels.length > 0 &&
      html`<span class="counts">
        ${file.levels.map((one) => html`<span class="level level-${one.level.toLowerCase()}">${one.level.toLowerCase()} ${count(one.count)}</span> `)}
      </span>`}
    </li>
  `;
}

export function Files({ name, state: importState }) {
  const [shown, setShown] = useState(false);
  const [found, setFound] = useState({ files: [], token: "", known: false });
  const load = async (token, before) => {
    try {
      const page = await filesOf(name, token);
      setFound({ files: [...before, ...page.files], token: page.nextPageToken, known: true });
    } catch (error) {
      state.show(error);
    }
  };
  // What is shown is asked for again when the import has gone on to another state.
  useEffect(() => {
    if (shown) load("", []);
  }, [shown, importState]);
  return html`
    <details data-testid="import-files" onToggle=${(event) => setShown(event.currentTarget.open)}>
      <summary class="plain">Files</summary>
      ${shown && found.known && found.files.length === 0 && html`<p class="faint">None yet.</p>`}
      <ul class="files">
        ${shown && found.files.map((file) => html`<${File} key=${file.path} file=${file} />`)}
      </ul>
      ${shown && found.token && html`<button class="quiet" onClick=${() => load(found.token, found.files)}>More files</button>`}
    </details>
  `;
}
