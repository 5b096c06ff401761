"""The loaders of principals, which live as long as the process, and API keys by them."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import Request

from plinth.accounts.queries.api_key.principal import KeyRow
from plinth.accounts.queries.principal import Principal
from plinth.accounts.queries.rotation import Rotation
from plinth.accounts.services.api_keys import authentication as api_keys
from plinth.accounts.services.api_keys.authentication import KeyColumnsT
from plinth.accounts.services.api_keys.usage import KeyUsage
from plinth.db.database import Database
from plinth.db.dataloader import DataLoader
from plinth.request.context import current_request
from plinth.resources.access import find_permission
from plinth.security.api_keys import ApiKeyToken


@dataclass(frozen=True, slots=True)
class Resources:
    """Objects with the lifetime of the process. `application.lifespan` sets them on `app.state`.

    Attributes:
        principals: loads the session of a request.
        api_keys: loads the API key of a request.
    """

    database: Database
    principals: DataLoader[UUID, Principal]
    rotations: DataLoader[Rotation, int]
    api_keys: DataLoader[UUID, KeyRow]
    key_usage: KeyUsage


def resources_of(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def authenticate_key(request: Request, text: str) -> Principal:
    token = api_keys.read(text)
    key = await resources_of(request).api_keys.get(token.id)
    return accept_key(request, key, token).to_principal()


def accept_key(request: Request, key: KeyColumnsT | None, token: ApiKeyToken) -> KeyColumnsT:
    """Return the key that was read for the token of a request, if the request may use it.

    Raises:
        PlinthError: see `api_keys.authentication.check`.
    """
    info = current_request()
    client, permission = info.client if info else None, find_permission(request.scope)
    accepted = api_keys.check(key, token, client, permission)
    if info:
        info.user_id, info.api_key_id = accepted.id, accepted.plinth_key_id
    if accepted.plinth_key_is_unused_today:
        resources_of(request).key_usage.note(accepted.plinth_key_id)
    return accepted
