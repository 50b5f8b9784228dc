"""The search service: keeps the catalogue of splits and answers queries over them.

`seam` is what the service knows of its engine. `split_index` is the engine: over `catalog` (what is published, shared
by several processes), `library` (open splits), `execute` and `streaming` (a query over many splits) and `index` (one
split). `scan_index` is the oracle of the tests, `query` the language. `service` are the RPCs, each answered by a part
of its own: `pages`, `batches`, `looks`, `exports`, `templates`, `tails`, `upkeep`. `care` is a process beside it that
keeps the splits in order. Reading sources, parsing times and building splits is the importer's work, with
`index.SplitWriter`.
"""
