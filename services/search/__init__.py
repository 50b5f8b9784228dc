"""The search service: keeps the catalogue of splits and answers queries over them.

`index` is the seam to the engine (writer, reader, scanner), `query` the language, `catalog` the table of published
splits, `service` the RPCs. Reading sources, parsing times and building splits is the importer's work, with
`index.SplitWriter`.
"""
