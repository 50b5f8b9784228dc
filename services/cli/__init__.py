"""The `loganalyzer` command.

`app` gathers the verbs. `up` runs the whole system on one machine (`plan` decides what is started and how); the other
verbs are clients of a running gateway, which `gateway` finds and speaks HTTP with: `importing` and `imports`,
`searching`, `exporting`, `analysing` (top, templates, histogram), `saved`, `sources`, `doctor`, `workspaces`. `asking`
has the options that they share; `render`, `blocks`, `bars` and `plan_text` turn messages into text.
"""

from services.cli.app import main

__all__ = ["main"]
