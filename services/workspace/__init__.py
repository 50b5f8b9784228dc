"""The workspace service: workspaces, their saved queries, and the deletion of one with everything in it.

`names` checks and makes identifiers, `pages` the page tokens, `tables` and `database` are the database, `store` and
`saved` what it keeps, `deletion` the background job, `service`, `saved_methods` and `operations` the two gRPC services
that the process serves.
"""
