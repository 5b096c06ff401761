"""Collect the names that are stored, or that clients and operators depend on, from the code."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import asyncpg

PACKAGE = "plinth"
EVENT = re.compile(
    r"(account|email|events|factor|invitation|mail|membership|organization|password|recovery_codes?|session|superuser|user|users)\.(?!id$)[a-z_]+"
)

CATALOG = """
SELECT 'constraint ' || conname FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION SELECT 'index ' || indexname FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT 'function ' || proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e'
)
UNION SELECT 'column ' || table_name || '.' || column_name FROM information_schema.columns
WHERE table_schema = 'public'
"""


def syntax_trees() -> Iterator[ast.Module]:
    folder = import_module(PACKAGE).__file__
    assert folder is not None
    for path in sorted(Path(folder).parent.rglob("*.py")):
        yield ast.parse(path.read_text())


def find_event_names() -> set[str]:
    return {
        node.value
        for tree in syntax_trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and EVENT.fullmatch(node.value)
    }


def find_error_codes() -> set[str]:
    """Return the `code` of problem documents: class attributes and constructor arguments."""
    return {
        value.value
        for tree in syntax_trees()
        for node in ast.walk(tree)
        for value in _find_codes(node)
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def _find_codes(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "code":
                yield item.value
    if isinstance(node, ast.Call):
        yield from (given.value for given in node.keywords if given.arg in {"code", "kind"})


async def find_names_in_database(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {record[0] for record in await connection.fetch(CATALOG)}
    finally:
        await connection.close()
