"""The workspace service: which workspaces there are, and the deletion of one with everything in it.

`names` checks and makes identifiers, `pages` the page tokens, `store` is the database, `deletion` the background job,
`service` and `operations` the two gRPC services that the process serves.
"""
