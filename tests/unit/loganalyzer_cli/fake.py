"""A gateway that answers what the test tells it to, over real HTTP on a free port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    params: dict[str, str]
    accept: str
    body: bytes


@dataclass
class Answer:
    """What is sent back: one message, or the messages of a stream (a `bytes` among them is sent as it is)."""

    message: Json | None = None
    stream: Iterable[Json | bytes] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, title: str, detail: str, **more: Any) -> Answer:
    return Answer(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **more},
        status=status,
        headers={"Content-Type": "application/problem+json"},
    )


@dataclass
class FakeGateway:
    """`routes` maps "GET /path" to what answers it; what is not there is a 404. `seen` are the requests."""

    url: str = ""
    routes: dict[str, Callable[[Seen], Answer] | Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def answer(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        found = self.routes.get(f"{seen.method} {seen.path}", problem(404, "Not Found", f"there is no {seen.path}"))
        return found if isinstance(found, Answer) else found(seen)


@contextmanager
def running() -> Iterator[FakeGateway]:
    """Serves a fake gateway in a thread of its own."""
    fake = FakeGateway()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            params = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
            seen = Seen(self.command, url.path, params, self.headers.get("Accept", ""), self._body())
            answer = fake.answer(seen)
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.end_headers()
            if answer.stream is None:
                self.wfile.write(json.dumps(answer.message).encode())
                return
            for message in answer.stream:
                line = (
                    message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode() + b"\n"
                )
                self.wfile.write(line)
                self.wfile.flush()

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class calls them so

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") == "chunked":
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client may leave in the middle of a stream."""

    server = Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
