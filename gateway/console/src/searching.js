// One search at a time: hits as they are found, the exact total and the histogram beside them.
import { batch, signal } from "@preact/signals";
import { ask, stream, url } from "./api.js";
import { instant } from "./format.js";
import { withLevels } from "./query.js";
import * as state from "./state.js";

// More rows than anybody reads; the rest is counted, not drawn.
export const MOST_ROWS = 5000;

export const rows = signal([]);
export const running = signal(false);
export const searched = signal(false);
export const firstHit = signal(null);
export const took = signal(null);
export const total = signal(null);
export const histogram = signal(null);
export const selected = signal(-1);
export const context = signal(null);

let current = null;

export function cancel() {
  current?.abort();
}

export async function search() {
  cancel();
  if (!state.workspace.value) return;
  const mine = new AbortController();
  current = mine;
  const found = [];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  batch(() => {
    rows.value = found;
    running.value = searched.value = true;
    firstHit.value = took.value = total.value = histogram.value = context.value = state.problem.value = null;
    selected.value = -1;
  });
  state.remember();
  const parameters = {
    query: withLevels(state.query.value, state.levels.value),
    startTime: instant(state.from.value),
    endTime: instant(state.to.value),
  };
  const path = `/v1/${state.workspace.value}/logs`;
  count(`${path}:histogram`, parameters, mine);
  try {
    await stream(
      url(`${path}:search`, { ...parameters, pageSize: MOST_ROWS }),
      (messages) => take(messages, found, elapsed, mine),
      mine.signal,
    );
    if (current === mine) took.value = elapsed();
  } catch (error) {
    if (current === mine) state.show(error);
  } finally {
    if (current === mine) running.value = false;
  }
}

function take(messages, found, elapsed, mine) {
  if (current !== mine) return;
  batch(() => {
    const before = found.length;
    for (const message of messages) if (message.hits) found.push(...message.hits.hits);
    if (found.length > before) {
      if (before === 0) firstHit.value = elapsed();
      rows.value = found.slice(0);
    }
  });
}

// The histogram counts every match, so it has the exact total too.
async function count(path, parameters, mine) {
  try {
    const answer = await ask(url(path, { ...parameters, bucketCount: 80 }), { signal: mine.signal });
    if (current !== mine) return;
    batch(() => {
      histogram.value = answer;
      total.value = Number(answer.totalSize);
    });
  } catch (error) {
    if (current === mine) state.show(error);
  }
}

export async function open(index) {
  const hit = rows.value[index];
  if (!hit) return;
  selected.value = index;
  context.value = { hit, before: [], after: [], loading: true };
  try {
    const path = `/v1/${state.workspace.value}/logs/${encodeURIComponent(hit.id)}:context`;
    const answer = await ask(url(path, { before: 6, after: 6 }));
    if (selected.value === index) context.value = { ...answer, highlights: hit.highlights, loading: false };
  } catch (error) {
    if (selected.value === index) context.value = null;
    state.show(error);
  }
}

export function close() {
  context.value = null;
}
