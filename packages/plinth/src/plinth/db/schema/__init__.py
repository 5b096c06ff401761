"""The library's part of the database schema, as numbered steps of SQL in `sql/`.

An application's migration applies them: `op.plinth_schema(since=0, to=1)`. The function
`plinth_schema_version()` of the database returns the number of the last one.
"""
