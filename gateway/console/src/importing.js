// Imports of the chosen workspace: the server's list, each running one watched until it ends, uploads on their way.
import { batch, signal } from "@preact/signals";
import { ask, stream, upload, url } from "./api.js";
import * as state from "./state.js";

const SHOWN = 30;
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

export const imports = signal([]);
export const uploads = signal([]);
// Counts up whenever an import has ended: what was searched may look different now.
export const landed = signal(0);

export const hasEnded = (one) => ENDED.has(one.state);

let watches = new Map();
let shownFor = "";

function put(one) {
  const list = imports.value;
  const index = list.findIndex((other) => other.name === one.name);
  const ended = hasEnded(one) && index >= 0 && !hasEnded(list[index]);
  batch(() => {
    imports.value = index < 0 ? [one, ...list] : list.with(index, one);
    if (ended) landed.value += 1;
  });
}

export async function load() {
  const workspace = state.workspace.value;
  for (const watch of watches.values()) watch.abort();
  watches = new Map();
  shownFor = workspace;
  imports.value = [];
  if (!workspace) return;
  try {
    const answer = await ask(url(`/v1/${workspace}/imports`, { pageSize: SHOWN }));
    if (shownFor !== workspace) return;
    imports.value = answer.imports;
    for (const one of answer.imports) if (!hasEnded(one)) watch(one.name);
  } catch (error) {
    state.show(error);
  }
}

async function watch(name) {
  const mine = new AbortController();
  watches.set(name, mine);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 2000));
  let known = null;
  while (!mine.signal.aborted && !(known && hasEnded(known))) {
    try {
      await stream(`/v1/${name}:watch`, (messages) => put((known = messages.at(-1))), mine.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 404) return;
    }
    if (!(known && hasEnded(known))) await pause();
  }
  watches.delete(name);
}

export async function start(path, follow) {
  const body = { sources: [{ path }], ...(follow ? { follow } : {}) };
  const one = await ask(`/v1/${state.workspace.value}/imports`, { method: "POST", body });
  put(one);
  if (!hasEnded(one)) watch(one.name);
}

export async function send(file) {
  const workspace = state.workspace.value;
  const path = url(`/v1/${workspace}/imports:upload`, { sourceName: file.name });
  const entry = { key: Symbol(file.name), name: file.name, size: file.size, sent: 0, began: performance.now() };
  const change = (update) => {
    uploads.value = uploads.value.map((other) => (other.key === entry.key ? { ...other, ...update } : other));
  };
  const { answer, cancel } = upload(path, file, (sent) => change({ sent }));
  uploads.value = [...uploads.value, { ...entry, cancel }];
  try {
    const one = await answer;
    if (workspace === shownFor) {
      put(one);
      if (!hasEnded(one)) watch(one.name);
    }
  } catch (error) {
    state.show(error);
  } finally {
    uploads.value = uploads.value.filter((other) => other.key !== entry.key);
  }
}

// "pause", "resume" or "cancel".
export async function act(name, verb) {
  try {
    put(await ask(`/v1/${name}:${verb}`, { method: "POST", body: {} }));
  } catch (error) {
    state.show(error);
  }
}

export const filesOf = (name, token) => ask(url(`/v1/${name}/files`, { pageSize: 100, pageToken: token }));
