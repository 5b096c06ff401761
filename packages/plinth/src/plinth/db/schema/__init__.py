"""The library's part of the database schema, as numbered steps of SQL in `sql/`.

A migration of the application applies them: `op.plinth_schema(since=0, to=1)`. The database
function `plinth_schema_version()` returns the number of the last applied step.
"""
