"""How the verbs reach the gateway: finding it, asking it, and saying in one sentence what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import click
import httpx

from kit.discovery import Registry, data_dir

F = TypeVar("F", bound=Callable[..., Any])

#: Seconds to get a connection, and between two pieces of an answer. A stream may be silent for as long as it likes.
CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 30.0
#: Rows of a page of a list.
LARGEST_PAGE = 1000

Json = dict[str, Any]


class GatewayError(click.ClickException):
    """A refusal or failure, in words for a person. The command ends with 2, as grep does on errors."""

    exit_code = 2

    def __init__(self, message: str, *, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        #: The HTTP status; None where no answer came.
        self.status = status
        #: The service's word for it: "SAVED_QUERY_EXISTS".
        self.reason = reason

    def show(self, file: Any = None) -> None:
        click.echo(f"loganalyzer: {self.message}", file=file, err=file is None)


def gateway_options(command: F) -> F:
    """The options that every client verb has: --gateway and --data-dir."""
    folder = click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data folder of the `loganalyzer up` to talk to.  [default: KIT_DATA_DIR, else your user data folder]",
    )
    url = click.option(
        "--gateway", metavar="URL", envvar="LOGANALYZER_GATEWAY", help="Talk to this gateway instead of the local one."
    )
    return url(folder(command))


def find(url: str | None, folder: Path | None) -> str:
    """The gateway's address: what was given, else the live entry in the data folder's registry."""
    if url:
        return url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    found = Registry((data_dir() if folder is None else folder) / "run" / "registry").lookup("gateway")
    if not found:
        raise GatewayError("no gateway is running; start one with `loganalyzer up`")
    return f"http://{found[-1].address}"


class Gateway:
    """One gateway. Every method raises GatewayError; `find` gives the url."""

    def __init__(self, url: str, *, local: bool = False, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
            # A proxy from the environment is not meant for this machine.
            trust_env=not local,
            transport=transport,
        )

    @classmethod
    def connect(cls, url: str | None, folder: Path | None) -> Gateway:
        """Finds the gateway; nothing is sent yet."""
        return cls(find(url, folder), local=not url)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Json | None = None,
        body: Json | None = None,
        content: Iterable[bytes] | None = None,
        patient: bool = False,
    ) -> Json:
        """One request, one message. `content` is streamed; `patient` waits for the answer as long as it takes."""
        try:
            answer = self._client.request(
                method,
                path,
                params=params,
                json=body,
                content=content,
                headers={"Accept": "application/json"}
                | ({"Content-Type": "application/octet-stream"} if content is not None else {}),
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT) if patient else httpx.USE_CLIENT_DEFAULT,
            )
            if answer.is_error:
                raise _refusal(answer)
            message = answer.json()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise GatewayError(f"{self.url} did not answer with JSON; is it a loganalyzer gateway?") from error
        if not isinstance(message, dict):
            raise GatewayError(f"{self.url} did not answer with a message; is it a loganalyzer gateway?")
        return message

    def stream(self, path: str, *, params: Json | None = None) -> Generator[Json]:
        """The messages of a stream as they come. Close the iterator to end the call."""
        timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT, read=None)
        headers = {"Accept": "application/x-ndjson"}
        try:
            with self._client.stream("GET", path, params=params, headers=headers, timeout=timeout) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                for line in lines(answer.iter_bytes()):
                    message = json.loads(line)
                    if set(message) == {"error"}:
                        raise GatewayError(sentence(message["error"]), status=message["error"].get("status"))
                    yield message
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise GatewayError(f"{self.url} did not answer with a stream of JSON") from error

    def pages(self, path: str, field: str, *, params: Json | None = None) -> Iterator[Json]:
        """What a list holds, all of its pages one after the other. `field` is the answer's that has the rows."""
        token = ""
        while True:
            page = self.ask("GET", path, params={**(params or {}), "pageSize": LARGEST_PAGE, "pageToken": token})
            yield from page.get(field) or []
            if not (token := str(page.get("nextPageToken") or "")):
                return

    def readiness(self) -> Json:
        """What /readyz says of the services, also where not all of them are ready."""
        try:
            message = self._client.get("/readyz", headers={"Accept": "application/json"}).json()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise GatewayError(f"{self.url} did not answer with JSON; is it a loganalyzer gateway?") from error
        return message if isinstance(message, dict) else {}

    def download(self, path: str, *, params: Json | None = None) -> Generator[bytes]:
        """A body as it comes. One that ends too early is an error; close the iterator to end the call."""
        timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT, read=None)
        try:
            with self._client.stream("GET", path, params=params, timeout=timeout) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield from answer.iter_bytes()
        except httpx.RemoteProtocolError as error:
            # A body of bytes has no place for an error: where it cannot be completed the gateway closes the connection.
            raise GatewayError(
                f"the connection to {self.url} broke before the end: some lines cannot be read, or it was stopped; "
                "`loganalyzer doctor` says what is damaged"
            ) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> GatewayError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return GatewayError(f"no gateway answers at {self.url}; start one with `loganalyzer up`")
        if isinstance(error, httpx.TimeoutException):
            return GatewayError(f"{self.url} did not answer in time")
        return GatewayError(f"the connection to {self.url} broke: {error or type(error).__name__}")


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that end in a line feed, without it, blank ones left out.

    Not httpx's own: that one also cuts at U+2028 and its kin, which JSON may hold as they are.
    """
    kept: list[bytes] = []
    for piece in pieces:
        head, *rest = piece.split(b"\n")
        kept.append(head)
        for part in rest:
            line = b"".join(kept)
            kept = [part]
            if line.strip():
                yield line
    if (last := b"".join(kept)).strip():
        yield last


def sentence(problem: Json) -> str:
    """One sentence of an RFC 9457 problem."""
    text = str(problem.get("detail") or problem.get("title") or "the gateway refused without a reason")
    violations = problem.get("violations") or problem.get("fieldViolations") or []
    for violation in violations if isinstance(violations, list) else []:
        description = violation.get("description", "") if isinstance(violation, dict) else ""
        if description and description not in text:
            text += f"; {violation.get('field', '')} {description}"
    return text


def _refusal(answer: httpx.Response) -> GatewayError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": f"the gateway answered {answer.status_code} {answer.reason_phrase}"}
    text = sentence(problem)
    wait = answer.headers.get("Retry-After")
    if wait and "try again" not in text.casefold():
        text += f" (try again in {wait} s)"
    return GatewayError(text, status=answer.status_code, reason=str(problem.get("reason") or ""))
