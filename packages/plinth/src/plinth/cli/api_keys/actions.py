"""List and revoke API keys."""

import asyncio
import json
from collections.abc import Sequence
from uuid import UUID

from plinth.accounts import queries
from plinth.accounts.models import ApiKey
from plinth.accounts.queries.api_key import Owned
from plinth.accounts.services import accounts
from plinth.accounts.services.api_keys import lifecycle
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import confirm, out
from plinth.cli.users.erasing import find_user
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.security.api_keys import find_key_id, make_prefix

REASON = "revoked by an operator"
MAX_SHOWN = 1000
COLUMNS = ("id", "prefix", "owner", "name", "scopes", "created", "expires", "last_used")


def show(user: str | None, *, as_json: bool) -> None:
    with running_services(settings) as services, database_errors(services.database_url):
        found = asyncio.run(_list(services, user))
    rows = [_describe(it) for it in found]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    lines = [COLUMNS, *(tuple(row[name] or "-" for name in COLUMNS) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print("  ".join(cells).rstrip(), markup=False)


def revoke(key: str | None, user: str | None, *, yes: bool) -> None:
    if (key is None) == (user is None):
        raise Failure("Pass the id or the prefix of a key, or --user with the owner of the keys.")
    key_id = _read_key_id(key) if key else None
    of_whom = f"the key {key_id}" if key_id else f"all API keys of {user}"
    if not yes:
        confirm(f"This revokes {of_whom}. Programs that use them lose access. Continue?")
    with running_services(settings) as services, database_errors(services.database_url):
        if key_id:
            row = asyncio.run(_revoke_one(services, key_id))
            out.print(f'Revoked "{row.name}" of user {row.user_id}.', markup=False)
        else:
            names = asyncio.run(_revoke_all(services, str(user)))
            out.print(f"Revoked {len(names)} API keys.")


def _read_key_id(text: str) -> UUID:
    if (key_id := find_key_id(text)) is not None:
        return key_id
    try:
        return UUID(text)
    except ValueError:
        raise Failure(
            "The key must be an id, from `plinth api-keys list`, or the beginning of a key up to "
            "the third underscore, such as plk_live_0h3JtVq7sYkXw2mB9cR4Lz."
        ) from None


async def _list(services: ServiceUrls, user: str | None) -> Sequence[Owned]:
    user_id = None if user is None else (await find_user(services, user))[0]
    async with connected(services) as database, database.transaction() as db:
        return await queries.api_key.list_owned(db, user_id, limit=MAX_SHOWN)


async def _revoke_one(services: ServiceUrls, key_id: UUID) -> ApiKey:
    async with connected(services) as database:
        try:
            async with database.transaction() as db:
                return await lifecycle.revoke_by_operator(db, key_id, reason=REASON)
        except lifecycle.ApiKeyNotFound as error:
            raise Failure(f"No API key that works has the id {key_id}.") from error


async def _revoke_all(services: ServiceUrls, user: str) -> list[str]:
    user_id, _ = await find_user(services, user)
    async with connected(services) as database:
        try:
            async with database.transaction() as db:
                return await lifecycle.revoke_all_by_operator(db, user_id, reason=REASON)
        except accounts.UserNotFound as error:
            raise Failure(f"There is no user {user_id}.") from error


def _describe(owned: Owned) -> dict[str, str | None]:
    key = owned.key
    return {
        "id": str(key.id),
        "prefix": make_prefix(key.id),
        "owner": owned.email,
        "name": key.name,
        "scopes": ",".join(key.scopes),
        "created": f"{key.created_at:%Y-%m-%d}",
        "expires": f"{key.expires_at:%Y-%m-%d}",
        "last_used": str(key.last_used_on) if key.last_used_on else None,
    }
