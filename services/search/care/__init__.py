"""Index care: a process of its own that keeps the splits of a data folder in order while others search them.

`policy` decides what is to be done next and `carer` does it; `rebuild` builds a split again from its lines, `check`
says what is wrong with one. `process` keeps `python -m services.search.care` running for the search service, `repairs`
checks and repairs on demand, in a process that ends afterwards.
"""
