"""Measurements of the whole product. `make bench` prints them; `docs/benchmarks.md` keeps them with their conditions.

Nothing here is a test: a figure is printed, never asserted.
"""
