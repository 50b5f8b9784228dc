"""The log analyzer's services, each a process of its own, and the `loganalyzer` command.

One folder per service: `__main__` starts it, `config` reads its environment, `app` wires it up, `service` translates
between protobuf and the domain, the other modules are the domain and know no gRPC. `cli` is the command line. Code
that every gRPC service could use does not live here: it lives in `kit`.
"""
