"""The one door: HTTP/JSON for any gRPC service whose methods say google.api.http, and the console.

    app         the ASGI application: one request from its first byte to its log line
    transcode   pure: routes compiled from descriptors, requests bound to messages, JSON
    forward, upload    thin drivers: one call upstream for one request, its answer or its stream passed on
    ratelimit, guard, problem    pure: who may ask how often, from where, and how a refusal looks
    console     a web page over the same API

Nothing here knows a method of the log analyzer: `loganalyzer.toml` names the services that are served by default.
"""
