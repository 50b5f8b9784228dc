"""What a running process tells of itself: `kitapi.v1.OpsService`, which every kit server offers where that is safe.

`service` is the servicer, `access` says who may read and who may change; the other modules turn what the process has
into messages. What is read is kept where it belongs: channels and their breakers list themselves in `kit.client`, calls
in `kit.layers.recent`, events in `kit.events`. Nothing here is on the path of a call, and nothing of it is imported
before a server is built.
"""
