// Run with: npm test. What the page computes, apart from the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineSplitter } from "../src/api.js";
import { bytes, duration, instant, parts, shortSource, time } from "../src/format.js";
import { fromHash, toHash, withLevels } from "../src/query.js";

test("lines are cut at line feeds only, whatever the borders of the pieces", () => {
  const split = lineSplitter();
  const text = new TextEncoder().encode('{"a":"ä\u2028b"}\n\n{"c":1}\n{"d"');
  const lines = [];
  for (let index = 0; index < text.length; index += 3) lines.push(...split(text.slice(index, index + 3)));
  assert.deepEqual(lines, ['{"a":"ä\u2028b"}', '{"c":1}']);
});

test("highlights count code points, not UTF-16 units", () => {
  assert.deepEqual(parts("😀 error x", [{ start: 2, end: 7 }]), [
    { text: "😀 ", marked: false },
    { text: "error", marked: true },
    { text: " x", marked: false },
  ]);
});

test("a highlight outside the text is left out", () => {
  assert.deepEqual(parts("abc", [{ start: 2, end: 9 }]), [{ text: "abc", marked: false }]);
});

test("levels are put beside the query in its own language", () => {
  assert.equal(withLevels("a OR b", []), "a OR b");
  assert.equal(withLevels("a OR b", ["error"]), "(a OR b) AND level:error");
  assert.equal(withLevels("", ["fatal", "error"]), "(level:error OR level:fatal)");
});

test("the address keeps the search", () => {
  const state = { workspace: "workspaces/default", query: 'a & "b c"', levels: ["warn"], from: "2024-05-01T10:00", to: "" };
  assert.deepEqual(fromHash(`#${toHash(state)}`), state);
});

test("numbers are short and say their unit", () => {
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(999), "999 B");
  assert.equal(bytes(430186), "430 kB");
  assert.equal(bytes(3_340_000), "3.3 MB");
  assert.equal(duration(0.0571), "57 ms");
  assert.equal(duration(75), "1 min 15 s");
});

test("times are UTC on both sides", () => {
  assert.equal(instant("2024-05-01T10:00"), "2024-05-01T10:00:00Z");
  assert.equal(time("2024-05-01T10:00:00.123456Z"), "2024-05-01 10:00:00.123");
  assert.equal(shortSource("/var/log/app.log", 8), "…app.log");
});
