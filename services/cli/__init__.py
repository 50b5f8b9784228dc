"""The `loganalyzer` command.

`app` gathers the verbs. `up` runs the whole system on one machine (`plan` decides what is started and how); the other
verbs are clients of a running gateway: `gateway` finds it and speaks HTTP with it, `importing`, `searching` and
`workspaces` are the verbs, `render` turns messages into text.
"""

from services.cli.app import main

__all__ = ["main"]
