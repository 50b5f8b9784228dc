"""The importer service: reads log files, folders and archives, and builds searchable splits of them.

    service.py    the RPCs: proto <-> domain
    jobs.py       all imports; runner.py one of them: plan, read, publish, finish, and what survives a kill
    planning.py   pure: files into tasks, published splits into what is left to read
    store.py      imports, tasks, splits and errors in SQLite (tables.py, rows.py, records.py)
    pool.py       the worker processes, worker.py what runs in them, task.py the work itself
    reading/      bytes: folders, archives, damage, limits        parsing/   lines: times, levels, records

The index itself belongs to the search service; workers use its SplitWriter.
"""
