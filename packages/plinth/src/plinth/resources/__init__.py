"""Building blocks of a resource: queries, lists, access, idempotency and conditional requests.

The types of schema fields are in `plinth.resources.fields`.
"""

from plinth.resources.access import (
    MEMBER,
    OWNER,
    OWNER_OR_DENIED,
    PUBLIC,
    SUPERUSER,
    USER,
    VERIFIED,
    access,
)
from plinth.resources.crud import Caller, CRUDBase, CRUDResource
from plinth.resources.deps import DB, Client, DatabaseDep, Limit, ReadDB, RowId, Skip, get_db
from plinth.resources.idempotency import IdempotencyKey, IdempotentRequest
from plinth.resources.listing import FilterKind, Listing, list_params_for
from plinth.resources.pages import ListParams, Page, Rows, show_page
from plinth.resources.preconditions import NOT_MODIFIED_RESPONSE, Preconditions

__all__ = [
    "DB",
    "MEMBER",
    "NOT_MODIFIED_RESPONSE",
    "OWNER",
    "OWNER_OR_DENIED",
    "PUBLIC",
    "SUPERUSER",
    "USER",
    "VERIFIED",
    "CRUDBase",
    "CRUDResource",
    "Caller",
    "Client",
    "DatabaseDep",
    "FilterKind",
    "IdempotencyKey",
    "IdempotentRequest",
    "Limit",
    "ListParams",
    "Listing",
    "Page",
    "Preconditions",
    "ReadDB",
    "RowId",
    "Rows",
    "Skip",
    "access",
    "get_db",
    "list_params_for",
    "show_page",
]
