"""HTTP requests to messages and back, by google.api.http. Pure: no sockets, no event loop.

template    path templates            router    static paths and the segment trie
routes      compiled from descriptors  binding   path and query to fields
body        JSON bodies to messages    codec     the seam to the JSON implementation
fields      one value as text          accept    which form of an answer the client wants
"""
