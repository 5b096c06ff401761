"""List the objects of a database in the format of `objects.txt`."""

from sqlalchemy import Connection, text

# Without the functions of extensions, the indexes of constraints, and NOT NULL constraints, which
# only PostgreSQL 18 lists.
OBJECTS = """
SELECT 'table ' || relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
UNION SELECT 'column ' || relname || '.' || attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
    AND attnum > 0 AND NOT attisdropped
UNION SELECT 'index ' || tablename || '.' || indexname FROM pg_indexes
WHERE schemaname = current_schema() AND NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE conname = indexname AND connamespace = current_schema()::regnamespace
)
UNION SELECT 'constraint ' || relname || '.' || conname FROM pg_constraint
JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'f', 'u', 'c', 'x')
UNION SELECT 'trigger ' || relname || '.' || tgname FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
UNION SELECT 'function ' || proname FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e'
)
"""
BOOKKEEPING = ("alembic_version", "plinth_schema_version")


def read_objects(connection: Connection) -> frozenset[str]:
    """Return entries like `table users`, `column users.id` and `function count_version`."""
    return frozenset(
        name
        for name in connection.scalars(text(OBJECTS))
        if name.partition(" ")[2].partition(".")[0] not in BOOKKEEPING
    )
