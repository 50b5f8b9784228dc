// Run with: npm test. What the page computes, apart from the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineSplitter } from "../src/api.js";
import { bytes, closer, duration, glimpse, instant, parts, shortSource, time } from "../src/format.js";
import { excerpt, fieldQuery, fieldsOf, fromHash, mistake, narrowed, toHash, withLevels } from "../src/query.js";

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
  const state = { workspace: "workspaces/default", query: 'a & "b c"', levels: ["warn"], from: "2024-05-01T10:00", to: "", order: "oldest" };
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

test("marks that overlap are joined and none is lost", () => {
  const found = parts("abcdef", [{ start: 2, end: 5 }, { start: 0, end: 3 }]);
  assert.deepEqual(found.filter((part) => part.marked).map((part) => part.text).join(""), "abcde");
  assert.equal(found.map((part) => part.text).join(""), "abcdef");
});

const problem = (position, message = 'query: expected ")" at character 9\nx\n^') => ({ reason: "QUERY_SYNTAX", message, metadata: { position } });

test("the place of a mistake is that in what was typed", () => {
  assert.deepEqual(mistake(problem("6"), "(error", false), { sentence: 'expected ")"', position: 6 });
  assert.equal(mistake(problem("3"), "  a )", false).position, 5);
  // What was sent is "(a ))) AND level:error".
  assert.equal(mistake(problem("4"), "a ))", true).position, 3);
  assert.equal(mistake(problem("99"), "a ))", true).position, 4);
  assert.equal(mistake(problem(undefined), "a", false).position, null);
  assert.equal(mistake({ reason: "OTHER", message: "x" }, "a", false), null);
});

test("an excerpt shows the place whatever the length, in code points", () => {
  assert.deepEqual(excerpt("a 😀 )", 4), { text: "a 😀 )", column: 4 });
  for (const position of [0, 1, 250, 499, 500]) {
    const text = `${"x".repeat(position)}!${"y".repeat(500 - position)}`;
    const found = excerpt(text, position, 40);
    assert.equal(found.text[found.column], "!");
    assert.ok(found.text.length <= 42);
  }
});

test("a value becomes a condition that finds it and nothing else", () => {
  assert.equal(fieldQuery("level", "ERROR"), "level:error");
  assert.equal(fieldQuery("user.id", "42"), "user.id:42");
  assert.equal(fieldQuery("user id", "a..b"), '"user id":"a..b"');
  assert.equal(fieldQuery("path", '/a "b" \\ *'), 'path:"/a \\"b\\" \\\\ *"');
});

test("a condition narrows what was typed, once", () => {
  assert.equal(narrowed("", "a:1"), "a:1");
  assert.equal(narrowed("x y", "a:1"), "x y a:1");
  assert.equal(narrowed("x OR y", "a:1"), "(x OR y) a:1");
  assert.equal(narrowed("x a:1", "a:1"), "x a:1");
});

test("fields are read off lines of JSON and of key=value", () => {
  const texts = ['{"user":{"id":1,"tags":[1]},"msg":"a=b","level":"x"}', '{"msg":"c"}', "t ip=1.2.3.4 ip=5 port=80, user=bob", "{broken"];
  assert.deepEqual(fieldsOf(texts), ["level", "source", "msg", "user.id", "user.tags", "ip", "port", "user"]);
});

test("bars that stand in a small part of a histogram are looked at closer", () => {
  const bucket = (day, count) => ({ startTime: `2024-05-${day}T00:00:00Z`, count: String(count) });
  const days = ["01", "02", "03", "04", "05", "06"];
  const buckets = days.map((day, index) => bucket(day, index === 1 || index === 2 ? 5 : 0));
  assert.deepEqual(closer({ buckets, bucketWidth: "86400s" }), { startTime: "2024-05-02T00:00:00Z", endTime: "2024-05-04T00:00:00.000Z" });
  assert.equal(closer({ buckets: buckets.slice(0, 5), bucketWidth: "86400s" }), null);
  assert.equal(closer({ buckets: days.map((day) => bucket(day, 0)), bucketWidth: "86400s" }), null);
});

test("a row shows the first mark wherever it stands, and never too much", () => {
  const short = { text: "an error", highlights: [{ start: 3, end: 8 }] };
  assert.deepEqual(glimpse(short.text, short.highlights), short);
  const text = `${"😀".repeat(300)}error${"x".repeat(5000)}`;
  const found = glimpse(text, [{ start: 300, end: 305 }, { start: 4000, end: 4001 }]);
  assert.equal(parts(found.text, found.highlights).find((part) => part.marked).text, "error");
  assert.ok(found.text.startsWith("…😀") && found.text.endsWith("x…"));
  assert.equal(Array.from(found.text).length, 502);
  assert.equal(found.highlights.length, 1);
  assert.equal(Array.from(glimpse("x".repeat(9000), []).text).length, 501);
});
