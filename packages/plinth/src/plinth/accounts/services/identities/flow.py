"""The steps of a sign-in by a provider, and of linking one.

1. `start` stores a state for the browser and returns the URL of the provider.
2. `receive` takes the provider's response and returns the URL of the front end with a code.
3. `complete`, or `owned.link`, takes the code together with the client's verifier.

The client chose the verifier, so a code from a URL is useless to others. Nothing changes in an
account before step 3. No database connection is held while a provider is awaited.
"""

import hashlib
import logging
import re
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import providers
from plinth.accounts.models import User
from plinth.accounts.providers import (
    Authorization,
    ProviderRefused,
    ProviderUnavailable,
)
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.schemas.identity import ProviderResponse
from plinth.accounts.services import challenges, sessions
from plinth.accounts.services.challenges import InvalidChallenge
from plinth.accounts.services.identities import codes, linking
from plinth.accounts.services.identities.codes import Target
from plinth.accounts.services.sessions import SignedIn
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Rejected
from plinth.request.client import Client

logger = logging.getLogger(__name__)

STATE, LINK = "oidc_state", "oidc_link"
STATE_LIFETIME = timedelta(minutes=10)
UNAVAILABLE = ("temporarily_unavailable", "server_error")
ERROR = re.compile(r"[a-z_]{1,50}")  # of a response, for the audit log


class InvalidState(Rejected):
    code = "invalid_state"
    detail = "This sign-in has expired, was completed, or began in another browser: start again"
    commit_on_error = True  # keeps the audit event


async def start(
    database: Database, name: str, target: Target, browser: str, *, fresh: bool = False
) -> str:
    """Return the URL of the provider for a sign-in.

    Args:
        browser: the value of a cookie of the browser. Limit the calls per network.
        fresh: require that the provider authenticated the user within `STEP_UP_MINUTES`. No effect
            for GitHub, which does not state the time: its sessions are never fresh.

    Raises:
        ProviderNotFound
        ProviderRefused
        ProviderUnavailable
    """
    providers.find(name)
    max_age = settings.STEP_UP_MINUTES * 60 if fresh else None
    async with database.transaction() as db:
        authorization, state = await _add_state(db, name, target, browser, max_age=max_age)
    return await _make_url(name, authorization, state)


async def start_link(database: Database, name: str, ticket: str, browser: str) -> str:
    """Return the URL of the provider for linking, which `owned.start` began.

    Args:
        browser: as for `start`.

    Raises:
        InvalidChallenge
        ProviderNotFound
        ProviderRefused
        ProviderUnavailable
    """
    providers.find(name)
    token = challenges.parse(ticket)
    async with database.transaction() as db:
        # Lock the user before the challenge, as a deletion of the user does, to avoid a deadlock.
        user = await codes.lock_user(db, await challenges.find(db, token, LINK))
        pending = await challenges.consume(db, token, LINK)
        content = challenges.open_content(token, LINK, pending)
        if content.pop("provider") != name:
            raise InvalidChallenge
        authorization, state = await _add_state(db, name, Target(**content), browser, user=user)
    return await _make_url(name, authorization, state)


async def _make_url(name: str, authorization: Authorization, state: str) -> str:
    try:
        return await providers.make_url(providers.find(name), authorization, state)
    except ProviderRefused as error:
        # No user has sent anything yet: the settings or the documents of the provider are wrong.
        logger.warning("OIDC_PROVIDERS %s: no sign-in can start: %s", name, error.reason)
        raise


async def receive(
    database: Database, name: str, response: ProviderResponse, browser: str | None
) -> str:
    """Take the provider's response, and return the URL of the front end with a code or an error.

    Args:
        browser: the value of the cookie.

    Raises:
        InvalidState: the response does not belong to a sign-in of this browser. There is no safe
            URL to redirect to.
        ProviderNotFound
    """
    provider = providers.find(name)
    async with database.transaction() as db:
        pending, content = await _use_state(db, name, response.state, browser)
    target = Target(**content["target"])
    try:
        code = _read_code(response)
        authorization = Authorization(**content["authorization"])
        profile = await providers.load_profile(provider, authorization, code, response.iss)
    except (ProviderRefused, ProviderUnavailable) as error:
        reason = error.reason if isinstance(error, ProviderRefused) else "provider unavailable"
        await _record_refusal(database, name, reason, pending.user_id)
        return target.make_url(error=error.code)
    async with database.transaction() as db:
        return target.make_url(code=await codes.add_code(db, name, profile, target, pending))


async def complete(database: Database, code: str, verifier: str, client: Client) -> SignedIn:
    """Sign in with a code of `receive`. A new user is registered.

    Raises:
        FreshSignInRequired
        InactiveUser
        InvalidChallenge: the code expired or was used.
        InvalidVerifier
        MfaRequired
        PlinthError: see `linking.find_or_create_user`.
    """
    async with database.transaction() as db:
        proof = await codes.use_code(db, codes.SIGN_IN, code, verifier)
        user = await linking.find_or_create_user(db, proof.provider, proof.profile)
        return await sessions.complete_sign_in(
            db, user, ("oidc",), client, authenticated_at=proof.profile.authenticated_at
        )


async def _add_state(
    db: AsyncSession,
    name: str,
    target: Target,
    browser: str,
    *,
    user: User | None = None,
    max_age: int | None = None,
) -> tuple[Authorization, str]:
    authorization = Authorization.make(f"{make_url_of(name)}/callback", max_age)
    content = {
        "provider": name,
        "target": asdict(target),
        "authorization": asdict(authorization),
    }
    token, _ = await challenges.add(
        db, STATE, STATE_LIFETIME, user=user, content=content, browser_hash=_hash(browser)
    )
    return authorization, token.text


def make_url_of(name: str) -> str:
    """Return the public URL of the routes of a provider, from the settings and never from Host."""
    base = f"{settings.API_ORIGIN}{settings.ROOT_PATH}{settings.API_V1_PREFIX}"
    return f"{base}/auth/oidc/{name}"


async def _use_state(
    db: AsyncSession, name: str, state: str | None, browser: str | None
) -> tuple[Pending, dict[str, Any]]:
    if browser is None:
        codes.record_refusal(db, name, "state without the cookie of its browser")
        raise InvalidState
    try:
        token = challenges.parse(state or "")
        pending = await challenges.consume(db, token, STATE, _hash(browser))
        content = challenges.open_content(token, STATE, pending)
    except InvalidChallenge:
        codes.record_refusal(db, name, "state unknown, used, expired or of another browser")
        raise InvalidState from None
    if content["provider"] != name:
        codes.record_refusal(db, name, "state of another provider", pending.user_id)
        raise InvalidState
    return pending, content


def _read_code(response: ProviderResponse) -> str:
    if response.error in UNAVAILABLE:
        raise ProviderUnavailable
    if response.error == "access_denied":
        raise AccessDenied
    if response.error is not None:
        name = response.error if ERROR.fullmatch(response.error) else "unknown"
        raise ProviderRefused(f"response with the error {name}")
    if not response.code:
        raise ProviderRefused("response without a code")
    return response.code


class AccessDenied(ProviderRefused):
    code = "access_denied"

    def __init__(self) -> None:
        super().__init__("the user canceled the sign-in")


async def _record_refusal(database: Database, name: str, reason: str, user_id: int | None) -> None:
    async with database.transaction() as db:
        codes.record_refusal(db, name, reason, user_id)


def _hash(browser: str) -> bytes:
    return hashlib.sha256(b"plinth oidc browser\0" + browser.encode(errors="replace")).digest()
