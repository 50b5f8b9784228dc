"""The importer service: reads log files, folders and archives, and builds searchable splits of them.

    service.py    the RPCs: proto <-> domain (requests.py, present.py, spool.py)
    jobs.py       all imports: started, paused, resumed, cancelled; records.py their states
    runner.py     one import: found (finding.py), planned (planning.py), read (tasks.py, publishing.py), finished
    deciding.py   what is new in a file: marks.py, identity.py, comparing.py; claims.py: one reader at a time
    follow.py     an import that goes on; watching.py hears of changes, tails.py hands lines to listeners
    progress.py   how far it is
    pool.py       the worker processes (sizing.py, turns.py, processes.py); worker.py is one, task.py its work
    database.py   SQLite: store.py imports, plans.py what is left to do, known.py files; tables.py, rows.py, schema.py
    reading/      bytes: folders, archives, damage, limits        parsing/   lines: times, levels, records

The index itself belongs to the search service; workers use its SplitWriter.
"""
