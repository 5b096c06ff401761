"""`plinth users erase` and `plinth users reset-mfa`."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from plinth.accounts import queries
from plinth.accounts.services import accounts, factors
from plinth.accounts.services.administration import ErasureResult
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import confirm, out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.organizations.services import personal_data
from plinth.resources.fields import MAX_ID

T = TypeVar("T")


def run(email_or_id: str, *, yes: bool) -> None:
    question = (
        "This deletes the account with its sessions and mails, and clears the user's IP addresses "
        "in the audit log. It cannot be undone. Continue?"
    )
    _report(*_ask_and_run(_erase, email_or_id, None if yes else question))


def reset_mfa(email_or_id: str, *, yes: bool) -> None:
    question = (
        "This removes the second factors and recovery codes, so that the password alone signs in, "
        "and ends all sessions. Continue?"
    )
    user_id, removed = _ask_and_run(_reset_mfa, email_or_id, None if yes else question)
    out.print(f"Second factors of user {user_id} removed: {removed}. All sessions have ended.")


def _ask_and_run(
    act: Callable[[ServiceUrls, int], Coroutine[Any, Any, T]],
    email_or_id: str,
    question: str | None,
) -> tuple[int, T]:
    """Find the user, ask the question if there is one, and act. Return the id and the result."""
    with running_services(settings) as services:
        with database_errors(services.database_url):
            user_id, description = asyncio.run(find_user(services, email_or_id))
        if question:
            confirm(f"{description}. {question}")
        with database_errors(services.database_url):
            return user_id, asyncio.run(act(services, user_id))


async def _reset_mfa(services: ServiceUrls, user_id: int) -> int:
    async with connected(services) as database:
        try:
            async with database.transaction() as db:
                return await factors.reset(db, user_id)
        except accounts.UserNotFound as error:
            raise Failure(f"There is no user {user_id}.") from error


async def find_user(services: ServiceUrls, email_or_id: str) -> tuple[int, str]:
    """Return the user's id, and a description for the confirmation."""
    user_id = int(email_or_id) if email_or_id.isascii() and email_or_id.isdigit() else None
    if user_id is not None and user_id > MAX_ID:
        raise Failure(f"{email_or_id} is too large for a user id.")
    async with connected(services) as database, database.transaction() as db:
        if user_id is None:
            user = await queries.user.get_by_email(db, email=email_or_id)
        else:
            user = await queries.user.get(db, user_id)
    if user is not None:
        role = ", a superuser" if user.is_superuser else ""
        return user.id, f"User {user.id} is {user.email} ({user.username}{role})"
    if user_id is None:
        raise Failure(
            f"No user has the email address {email_or_id}. For a deleted account, pass the user id."
        )
    return user_id, f"User {user_id} has no account"


async def _erase(services: ServiceUrls, user_id: int) -> ErasureResult:
    async with connected(services) as database:
        try:
            async with database.transaction() as db:
                return await personal_data.erase_user(db, user_id)
        except accounts.UserNotFound as error:
            raise Failure(f"There is no data of a user {user_id}.") from error


def _report(user_id: int, erased: ErasureResult) -> None:
    subject = "the account" if erased.account else "the remaining data"
    out.print(
        f"Erased {subject} of user {user_id}: {erased.sessions} sessions, {erased.mails} mails, "
        f"and the IP addresses in {erased.events} events. Earlier backups still contain the data."
    )
