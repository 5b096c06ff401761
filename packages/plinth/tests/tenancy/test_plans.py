"""PostgreSQL uses the indexes of a table of organizations under its policies."""

import json
from typing import Any

import asyncpg
import pytest

from plinth.db.tenancy import SET_TENANT
from plinth.testing.databases import as_application
from tests.tenancy.notes import OURS

FILL = """
INSERT INTO tenant_notes (organization_id, body)
SELECT i % 500, 'note ' || i FROM generate_series(1, 50000) AS i
"""
INDEX = "CREATE INDEX ix_tenant_notes ON tenant_notes (organization_id, body, id)"
PAGE = "SELECT * FROM tenant_notes WHERE organization_id = $1 ORDER BY body DESC, id DESC LIMIT 20"
UNFILTERED = "SELECT * FROM tenant_notes WHERE $1::bigint > 0 ORDER BY body DESC, id DESC LIMIT 20"
BY_ID = "SELECT * FROM tenant_notes WHERE id = ANY(ARRAY[$1::bigint])"


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(
    ("query", "index"),
    [(PAGE, "ix_tenant_notes"), (UNFILTERED, "ix_tenant_notes"), (BY_ID, "tenant_notes_pkey")],
)
async def test_policy_leaves_the_use_of_an_index(
    database_url: str, second: asyncpg.Connection, mode: str, query: str, index: str
) -> None:
    for statement in (FILL, INDEX, "ANALYZE tenant_notes"):
        await second.execute(statement)
    application = await asyncpg.connect(as_application(database_url).replace("+asyncpg", ""))
    await application.execute(f"SET plan_cache_mode = {mode}")
    async with application.transaction():
        await application.execute(SET_TENANT.format(OURS))
        found = await application.fetchval(f"EXPLAIN (FORMAT JSON) {query}", OURS)
    await application.close()
    (plan,) = json.loads(found)
    assert index in find_indexes(plan["Plan"]), found


def find_indexes(plan: dict[str, Any]) -> set[str]:
    found = {plan["Index Name"]} if "Index Name" in plan else set[str]()
    return found.union(*map(find_indexes, plan.get("Plans", ())))
