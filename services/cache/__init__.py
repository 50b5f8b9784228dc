"""The cache service: bytes under keys, in memory, within a size.

`store` is the cache itself, without time, I/O or gRPC; `service` serves it. Nothing survives a restart, and nothing
has to.
"""
