// One search at a time: hits as they are found, the exact total and the histogram beside them. Or, live, as they come.
import { batch, signal } from "@preact/signals";
import { ask, stream, url } from "./api.js";
import { closer, instant } from "./format.js";
import { ORDERS, mistake, withLevels } from "./query.js";
import * as state from "./state.js";

// More rows than anybody reads; the rest is counted, not drawn.
export const MOST_ROWS = 5000;
const MOST_AROUND = 500;

export const rows = signal([]);
export const running = signal(false);
export const live = signal(false);
export const searched = signal(false);
// Counts searches up, for what is to be asked for anew with each.
export const asked = signal(0);
export const progress = signal(null);
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

// What the lines are asked for by, in every request.
export function parameters() {
  return {
    query: withLevels(state.query.value, state.levels.value),
    startTime: instant(state.from.value),
    endTime: instant(state.to.value),
  };
}

export const logs = (verb) => `/v1/${state.workspace.value}/logs:${verb}`;

function begin() {
  cancel();
  const mine = new AbortController();
  current = mine;
  batch(() => {
    rows.value = [];
    running.value = searched.value = true;
    live.value = false;
    firstHit.value = took.value = total.value = histogram.value = context.value = progress.value = null;
    state.problem.value = state.wrong.value = null;
    selected.value = -1;
  });
  state.remember();
  return mine;
}

// A query that cannot be read is told beneath the box; everything else in the banner.
export async function tell(error) {
  const typed = state.query.value;
  const wrapped = state.levels.value.length > 0 && typed.trim() !== "";
  let wrong = mistake(error, typed, wrapped);
  if (wrong && wrapped) {
    // The levels' parentheses may have hidden what is wrong: only the query itself is asked about.
    const own = await ask(url(logs("explain"), { query: typed.trim() })).catch((other) => mistake(other, typed, false));
    if (state.query.value !== typed) return;
    if (own && "sentence" in own) wrong = own;
  }
  if (wrong) state.wrong.value = wrong;
  else state.show(error);
}

function fail(error, mine) {
  if (current === mine) tell(error);
}

export async function search() {
  if (!state.workspace.value) return;
  const mine = begin();
  const found = [];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  asked.value += 1;
  count(mine);
  try {
    await stream(
      url(logs("search"), { ...parameters(), orderBy: ORDERS[state.order.value], pageSize: MOST_ROWS }),
      (messages) => take(messages, found, elapsed, mine),
      mine.signal,
    );
    if (current === mine) took.value = elapsed();
  } catch (error) {
    fail(error, mine);
  } finally {
    if (current === mine) running.value = false;
  }
}

function take(messages, found, elapsed, mine) {
  if (current !== mine) return;
  batch(() => {
    const before = found.length;
    for (const message of messages) {
      if (message.hits) found.push(...message.hits.hits);
      if (message.progress) progress.value = message.progress;
    }
    if (found.length > before) {
      if (before === 0) firstHit.value = elapsed();
      rows.value = found.slice(0);
    }
  });
}

// The histogram counts every match, so it has the exact total too.
async function count(mine) {
  try {
    const asking = (times) => ask(url(logs("histogram"), { ...parameters(), ...times, bucketCount: 80 }), { signal: mine.signal });
    let answer = await asking();
    if (current !== mine) return;
    total.value = Number(answer.totalSize);
    const { undatedCount } = answer;
    for (let looks = 0, times; looks < 6 && (times = closer(answer)); looks += 1) answer = await asking(times);
    if (current === mine) histogram.value = { ...answer, undatedCount };
  } catch (error) {
    fail(error, mine);
  }
}

// Lines as they are read, the newest above. Until it is cancelled.
export async function tail() {
  if (!state.workspace.value) return;
  const mine = begin();
  live.value = true;
  state.tab.value = "lines";
  const { query } = parameters();
  try {
    await stream(
      url(logs("tail"), { query }),
      (messages) => {
        if (current !== mine) return;
        const fresh = messages.flatMap((message) => message.hits ?? []).reverse();
        if (fresh.length === 0) return;
        batch(() => {
          rows.value = [...fresh, ...rows.value].slice(0, MOST_ROWS);
          if (selected.value >= 0) selected.value += fresh.length;
          total.value = (total.value ?? 0) + fresh.length;
        });
      },
      mine.signal,
    );
  } catch (error) {
    fail(error, mine);
  } finally {
    if (current === mine) running.value = live.value = false;
  }
}

export function open(index) {
  const hit = rows.value[index];
  if (!hit) return;
  selected.value = index;
  look(hit, 20);
}

// A line with its neighbours, `around` of them on each side at most.
export async function look(hit, around) {
  const reach = Math.min(around, MOST_AROUND);
  const held = context.value?.hit.id === hit.id ? context.value : { hit, before: [], after: [] };
  const mine = { ...held, highlights: hit.highlights, reach, loading: true };
  context.value = mine;
  try {
    const path = `/v1/${state.workspace.value}/logs/${encodeURIComponent(hit.id)}:context`;
    const answer = await ask(url(path, { before: reach, after: reach }));
    const whole = reach >= MOST_AROUND || (answer.before.length < reach && answer.after.length < reach);
    if (context.value === mine) context.value = { ...answer, highlights: hit.highlights, reach, whole, loading: false };
  } catch (error) {
    if (context.value !== mine) return;
    // A line that has only just been read is not in the index yet.
    const fresh = live.value && error.status === 404;
    context.value = fresh ? { ...mine, loading: false, whole: true, fresh } : null;
    if (!fresh) state.show(error);
  }
}

export function close() {
  context.value = null;
}
