// The forms of the query language, each with an example that can be tried.
import { html } from "./html.js";

const FORMS = [
  ["a term", "timeout", "a run of letters and digits, without case"],
  ["terms in a row", '"connection reset"', "next to each other"],
  ["all, any, none", "kafka (error OR warn) NOT debug", "side by side means AND, which binds closer than OR"],
  ["a part of a term", "conn*", "* is any letters and digits, ? is one"],
  ["any part of a line", "contains:edi", "also within words; contains_case: minds the case"],
  ["a regular expression", "/user \\d+ (failed|denied)/i", "RE2's syntax; i: without case"],
  ["with its case", "case:Error", "a term or \"terms in a row\""],
  ["a term with slips", "tiemout~", "one letter more, less or another; ~2: two"],
  ["a field", "user.id:42", 'of JSON, or written as key=value or key: value; name:"two words"'],
  ["a comparison", "latency:>500", "also < <= >= and 1..5; numbers by size"],
  ["a pattern in a field", "host:web*", "user.id:* is any line that has the field"],
  ["a level", "level:>=warn", "also level:error, level:info..warn"],
  ["a source", "source:kafka", "files whose path contains it"],
  ["a time", "time:>=2016-12-19", "also time:A..B; in UTC"],
  ["a time from now", "last:15m", "s, m, h, d or w"],
];

export function Help({ onPick }) {
  return html`
    <section class="help" id="help" aria-label="Forms of a query" data-testid="help">
      <table>
        <thead><tr><th>Form</th><th>Example</th><th>Finds lines with it</th></tr></thead>
        <tbody>
          ${FORMS.map(
            ([form, example, meaning]) => html`<tr key=${form}>
              <td>${form}</td>
              <td><button type="button" class="link mono" title="Search for this" onClick=${() => onPick(example)}>${example}</button></td>
              <td class="faint">${meaning}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </section>
  `;
}
