"""What decides: backoff, retry, deadline arithmetic.

Pure. Nothing here waits, sends, logs, reads a clock or rolls a die: the time `now` and a random `u` from [0, 1) are
arguments, and a machine returns a decision that a layer carries out. Neither asyncio nor grpc is imported; status codes
are plain integers. What acts on the decisions lives in `kit.layers`.
"""
