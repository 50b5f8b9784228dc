"""Routes compiled once from descriptors: google.api.http, kitapi.v1.http, and cost and keys of kitapi.v1.method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from gateway.transcode import template as templates
from gateway.transcode.accept import Form
from gateway.transcode.binding import Binder, BindingError
from gateway.transcode.body import JsonBody
from gateway.transcode.codec import Codec
from gateway.transcode.router import Router
from kit.errors import ConfigurationError
from kit.resilience.idempotency import IdempotencyKeyMode
from kitapi.v1 import policy_pb2

__all__ = ["HTTP_BODY", "Exposed", "Route", "Rpc", "compile_routes"]

HTTP_BODY = "google.api.HttpBody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """A service of an upstream that is served. `methods` are patterns of "package.Service/Method"; None is all."""

    upstream: str
    service: ServiceDescriptor
    codec: Codec
    methods: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """A gRPC method that requests are passed to, as one rule serves it."""

    #: "/package.Service/Method"
    path: str
    upstream: str
    request: type[Message]
    client_streaming: bool
    server_streaming: bool
    #: Tokens of the caller's rate limit.
    cost: int
    #: What is declared of idempotency keys: whether the Idempotency-Key header is passed on, or must be there.
    key: IdempotencyKeyMode
    #: An answer on the wire to JSON bytes; to a google.api.HttpBody where `raw`.
    decode: Callable[[bytes], Any]
    #: The answer is not JSON but bytes of a type that it says itself.
    raw: bool
    #: Field of the response that is the answer; "" for all of it.
    response_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One HTTP method on one template. At least one of `unary` and `stream` is there; both are a declared pair."""

    http_method: str
    template: templates.Template
    unary: Rpc | None
    stream: Rpc | None
    binder: Binder
    #: Of the rule: "", "*" or a field's name.
    body: str
    #: Binds a JSON body; None where there is none or where it is raw bytes.
    json_body: JsonBody | None
    #: Field of the request that takes the body's bytes as they are; "" when the request is the HttpBody; None if none.
    raw_body: str | None
    forms: tuple[Form, ...] = field(default=(Form.JSON,))

    @property
    def rpc(self) -> Rpc:
        """The unary method of a pair, else the only one."""
        found = self.unary if self.unary is not None else self.stream
        assert found is not None
        return found

    @property
    def name(self) -> str:
        """For logs and traces: "GET /v1/{parent=workspaces/*}/logs:search"."""
        return f"{self.http_method} {self.template.text}"


def compile_routes(exposed: Iterable[Exposed]) -> Router[Route]:
    """Compiles the routes of every exposed method that has a google.api.http rule.

    Raises ConfigurationError where a rule is wrong, two methods claim the same requests without being a declared pair,
    or a method needs what the gateway does not do.
    """
    plain: list[Route] = []
    paired: list[tuple[Route, str]] = []
    for one in exposed:
        for method in one.service.methods:
            name = f"{one.service.full_name}/{method.name}"
            if one.methods is not None and not any(fnmatchcase(name, pattern) for pattern in one.methods):
                continue
            partner = _partner(method)
            for route in _routes(method, one.upstream, one.codec):
                if partner is None:
                    plain.append(route)
                else:
                    paired.append((route, partner))
    router: Router[Route] = Router()
    merged = {id(other): joined for other, joined in _pairs(plain, paired)}
    for route in plain:
        route = merged.get(id(route), route)
        clash = router.add(route.http_method, route.template, route)
        if clash is not None:
            raise ConfigurationError(
                f"{route.rpc.path} and {clash.rpc.path} both claim {route.name}; "
                "only a stream that names its unary method by (kitapi.v1.http).stream_of may share a route"
            )
    return router


def _pairs(plain: list[Route], paired: list[tuple[Route, str]]) -> Iterator[tuple[Route, Route]]:
    for route, partner in paired:
        assert route.stream is not None
        match = next(
            (
                other
                for other in plain
                if other.unary is not None
                and other.unary.path == partner
                and other.http_method == route.http_method
                and other.template.text == route.template.text
                and other.body == route.body
            ),
            None,
        )
        if match is None:
            raise ConfigurationError(f"{route.stream.path}: stream_of names {partner}, which has no rule {route.name}")
        assert match.unary is not None
        if match.unary.request.DESCRIPTOR.full_name != route.stream.request.DESCRIPTOR.full_name:
            raise ConfigurationError(f"{route.stream.path}: its request is not that of {partner}")
        yield (
            match,
            Route(
                http_method=match.http_method,
                template=match.template,
                unary=match.unary,
                stream=route.stream,
                binder=match.binder,
                body=match.body,
                json_body=match.json_body,
                raw_body=match.raw_body,
                forms=(Form.JSON, Form.NDJSON, Form.SSE),
            ),
        )


def _partner(method: MethodDescriptor) -> str | None:
    options: Any = method.GetOptions()
    if not options.HasExtension(policy_pb2.http) or not options.Extensions[policy_pb2.http].stream_of:
        return None
    name = options.Extensions[policy_pb2.http].stream_of
    service = method.containing_service
    other = service.methods_by_name.get(name)
    path = f"/{service.full_name}/{method.name}"
    if other is None or other.server_streaming or not method.server_streaming:
        raise ConfigurationError(f"{path}: stream_of must stand on a stream and name a unary method of its service")
    return f"/{service.full_name}/{name}"


def _routes(method: MethodDescriptor, upstream: str, codec: Codec) -> Iterator[Route]:
    options: Any = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
    path = f"/{method.containing_service.full_name}/{method.name}"
    for one in (rule, *rule.additional_bindings):
        try:
            yield _route(method, one, upstream, codec)
        except (templates.TemplateError, BindingError) as error:
            raise ConfigurationError(f"{path}: google.api.http: {error}") from None


def _rpc(method: MethodDescriptor, response_body: str, upstream: str, codec: Codec) -> Rpc:
    response = message_factory.GetMessageClass(method.output_type)
    field = None
    if response_body:
        field = method.output_type.fields_by_name.get(response_body)
        if field is None:
            raise BindingError(f"{method.output_type.full_name} has no field {response_body!r}")
    kind = method.output_type if field is None else field.message_type
    raw = kind is not None and kind.full_name == HTTP_BODY and (field is None or not field.is_repeated)
    decode: Callable[[bytes], Any] = codec.encoder(response, response_body)
    if raw:
        decode = response.FromString if field is None else _field_of(response, response_body)
    return Rpc(
        path=f"/{method.containing_service.full_name}/{method.name}",
        upstream=upstream,
        request=message_factory.GetMessageClass(method.input_type),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        cost=_cost(method),
        key=_key(method),
        decode=decode,
        raw=raw,
        response_body=response_body,
    )


def _field_of(kind: type[Message], name: str) -> Callable[[bytes], Any]:
    def decode(wire: bytes) -> Any:
        return getattr(kind.FromString(wire), name)

    return decode


def _route(method: MethodDescriptor, rule: http_pb2.HttpRule, upstream: str, codec: Codec) -> Route:
    http_method, text = _pattern(rule)
    template = templates.parse(text)
    request = method.input_type
    binder = Binder(request, template, rule.body)
    raw_body = _raw_body(request, rule.body)
    rpc = _rpc(method, rule.response_body, upstream, codec)
    if rpc.client_streaming and (raw_body is None or rpc.server_streaming):
        raise BindingError("a stream of requests is served only as an upload: body must be a google.api.HttpBody field")
    json_body = None
    if rule.body and raw_body is None:
        json_body = JsonBody(request, rule.body, binder.path_fields, codec=codec, patch=http_method == "PATCH")
    return Route(
        http_method=http_method,
        template=template,
        unary=None if rpc.server_streaming else rpc,
        stream=rpc if rpc.server_streaming else None,
        binder=binder,
        body=rule.body,
        json_body=json_body,
        raw_body=raw_body,
        forms=(Form.NDJSON, Form.SSE, Form.JSON) if rpc.server_streaming else (Form.JSON,),
    )


def _pattern(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise BindingError("a rule has no path")
    if kind == "custom":
        if not rule.custom.kind.isascii() or not rule.custom.kind.isupper():
            raise BindingError(f"{rule.custom.kind!r} is not an HTTP method")
        return rule.custom.kind, rule.custom.path
    return kind.upper(), getattr(rule, kind)


def _raw_body(request: Descriptor, body: str) -> str | None:
    if body == "*":
        return "" if request.full_name == HTTP_BODY else None
    field = request.fields_by_name.get(body) if body else None
    if field is None or field.is_repeated or field.message_type is None:
        return None
    return body if field.message_type.full_name == HTTP_BODY else None


def _cost(method: MethodDescriptor) -> int:
    for policy in _policies(method):
        if policy.rate.HasField("cost"):
            return int(policy.rate.cost)
    return 1


def _key(method: MethodDescriptor) -> IdempotencyKeyMode:
    for policy in _policies(method):
        if policy.idempotency_key.mode:
            return IdempotencyKeyMode(policy.idempotency_key.mode)
    return IdempotencyKeyMode.NONE


def _policies(method: MethodDescriptor) -> Iterator[Any]:
    """What is declared, the nearest first: the method's, the service's."""
    found: list[tuple[Any, Any]] = [
        (method.GetOptions(), policy_pb2.method),
        (method.containing_service.GetOptions(), policy_pb2.service),
    ]
    for options, extension in found:
        if options.HasExtension(extension):
            yield options.Extensions[extension]
