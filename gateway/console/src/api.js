// The gateway's HTTP API: one message, a stream of messages, an upload. Every failure is a Problem.

export class Problem extends Error {
  constructor(document, status) {
    super(document.detail || document.title || `The gateway answered ${status}.`);
    this.status = document.status ?? status;
    this.violations = document.violations ?? [];
    this.reason = document.reason ?? "";
    this.metadata = document.metadata ?? {};
    this.requestId = document.request_id ?? "";
  }
}

const unreachable = () => new Problem({ detail: "The gateway does not answer. Is it running?" }, 0);

async function problemOf(answer) {
  const text = await answer.text().catch(() => "");
  try {
    return new Problem(JSON.parse(text), answer.status);
  } catch {
    return new Problem({}, answer.status);
  }
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

export function url(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined);
  const query = new URLSearchParams(given).toString();
  return query ? `${path}?${query}` : path;
}

export async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await send(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.json();
}

// Cuts pieces of bytes into lines, whatever the borders of the pieces.
export function lineSplitter() {
  const decoder = new TextDecoder();
  let rest = "";
  return (piece) => {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop();
    return lines.filter((line) => line.trim() !== "");
  };
}

// Calls `onMessages` with all messages of each piece that arrives; returns at the stream's end.
export async function stream(path, onMessages, signal) {
  const answer = await send(path, { headers: { accept: "application/x-ndjson" }, signal });
  const reader = answer.body.getReader();
  const split = lineSplitter();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const messages = split(value).map((line) => JSON.parse(line));
      const failed = messages.find((message) => message.error && Object.keys(message).length === 1);
      const good = failed ? messages.slice(0, messages.indexOf(failed)) : messages;
      if (good.length) onMessages(good);
      if (failed) throw new Problem(failed.error, failed.error.status);
    }
  } catch (error) {
    throw error.name === "AbortError" || error instanceof Problem ? error : unreachable();
  } finally {
    reader.releaseLock();
  }
}

// fetch() does not tell how much of a body was sent; this does.
export function upload(path, file, onProgress) {
  const request = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      let document = {};
      try {
        document = JSON.parse(request.responseText);
      } catch {
        // The status alone has to do.
      }
      if (request.status >= 200 && request.status < 300) resolve(document);
      else reject(new Problem(document, request.status));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
  });
  request.open("POST", path);
  request.setRequestHeader("content-type", "application/octet-stream");
  request.send(file);
  return { answer, cancel: () => request.abort() };
}
