"""The queries of API keys: `queries.api_key.get_all(db, user_id)`.

principal.py   the key of a request and its user
rows.py        the keys of a user
"""

from plinth.accounts.queries.api_key.rows import (
    Owned,
    add,
    change,
    count_live,
    find,
    get_all,
    list_owned,
    record_use,
    revoke,
    revoke_all,
)

__all__ = [
    "Owned",
    "add",
    "change",
    "count_live",
    "find",
    "get_all",
    "list_owned",
    "record_use",
    "revoke",
    "revoke_all",
]
