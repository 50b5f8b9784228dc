import { count, lines, local, seconds, time } from "./format.js";
import { html } from "./html.js";
import { LEVELS } from "./query.js";
import { histogram, search } from "./searching.js";
import * as state from "./state.js";

const HEIGHT = 48;
const ORDER = [...LEVELS].reverse().map((level) => level.toUpperCase());

// A bar's parts from the bottom up, the gravest level first; lines without a level come last.
function layers(bucket, most) {
  const counts = new Map(bucket.levels.map((one) => [one.level, Number(one.count)]));
  const all = Number(bucket.count);
  const known = ORDER.map((level) => [level.toLowerCase(), counts.get(level) ?? 0]).filter(([, lines]) => lines > 0);
  const rest = all - known.reduce((sum, [, lines]) => sum + lines, 0);
  if (rest > 0) known.push(["none", rest]);
  const height = all === 0 ? 0 : Math.max(2, (all / most) * HEIGHT);
  let y = HEIGHT;
  return known.map(([level, lines]) => {
    const part = (lines / all) * height;
    y -= part;
    return { level, y, height: part };
  });
}

function zoom(bucket, width) {
  const begin = Date.parse(bucket.startTime);
  state.from.value = local(new Date(begin).toISOString());
  state.to.value = local(new Date(begin + width * 1000).toISOString());
  search();
}

export function Histogram() {
  const found = histogram.value;
  if (!found || found.buckets.length === 0) return null;
  const width = seconds(found.bucketWidth);
  const most = Math.max(...found.buckets.map((bucket) => Number(bucket.count)), 1);
  const step = 1000 / found.buckets.length;
  const first = found.buckets[0];
  const final = found.buckets.at(-1);
  const undated = Number(found.undatedCount);
  return html`
    <figure class="histogram" data-testid="histogram">
      <svg viewBox="0 0 1000 ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Matching lines by time">
        ${found.buckets.map(
          (bucket, index) => html`<g key=${bucket.startTime} class="bar" onClick=${() => zoom(bucket, width)}>
            <title>${time(bucket.startTime)} UTC: ${lines(bucket.count)}</title>
            <rect class="hit" x=${index * step} y="0" width=${step} height=${HEIGHT} />
            ${layers(bucket, most).map(
              (part) => html`<rect
                key=${part.level}
                class="fill-${part.level}"
                x=${index * step + step * 0.1}
                y=${part.y}
                width=${step * 0.8}
                height=${part.height}
              />`,
            )}
          </g>`,
        )}
      </svg>
      <figcaption>
        <span>${time(first.startTime).slice(0, 19)}</span>
        <span class="faint">${undated > 0 ? `${lines(undated)} without a time` : "click a bar to look closer"}</span>
        <span>${time(new Date(Date.parse(final.startTime) + width * 1000).toISOString()).slice(0, 19)}</span>
      </figcaption>
    </figure>
  `;
}
