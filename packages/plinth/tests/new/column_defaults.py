"""The defaults of the columns against those of the schemas, in resources that `plinth new` wrote.

Not collected by itself: test_matrix.py runs it in a checkout that has such resources.
"""

import json
from importlib import import_module
from typing import Any

import asyncpg

from app.models import Base

COLUMN_DEFAULTS = """
SELECT column_name, data_type, column_default FROM information_schema.columns
WHERE table_name = $1 AND column_name = ANY ($2) AND column_default IS NOT NULL
"""


def schema_defaults() -> dict[str, dict[str, Any]]:
    """Return the fields of each table with their defaults."""
    models = [mapper.class_ for mapper in Base.registry.mappers]
    found = {}
    for model in (it for it in models if "version" in it.__table__.columns):
        module = import_module(model.__module__.replace("models", "schemas"))
        fields = getattr(module, f"{model.__name__}Create").model_fields
        found[model.__tablename__] = {name: field.default for name, field in fields.items()}
    return found


async def test_columns_and_schemas_have_the_same_defaults(second: asyncpg.Connection) -> None:
    for table, expected in schema_defaults().items():
        for name, kind, source in await second.fetch(COLUMN_DEFAULTS, table, list(expected)):
            value = await second.fetchval(f"SELECT {source}")
            found = json.loads(value) if kind == "jsonb" else value
            assert found == expected[name], f"{table}.{name}"
