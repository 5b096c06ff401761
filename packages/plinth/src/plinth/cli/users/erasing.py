import asyncio

from plinth.accounts import queries
from plinth.accounts.services import accounts, administration
from plinth.accounts.services.administration import ErasureResult
from plinth.cli.ask import confirm
from plinth.cli.connecting import connected, reaching
from plinth.cli.failure import Failure
from plinth.cli.output import out
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.resources.fields import MAX_ID


def run(who: str, *, yes: bool) -> None:
    with running_services(settings) as backing:
        with reaching(backing.database_url):
            number, about = asyncio.run(_find(backing, who))
        if not yes:
            confirm(
                f"{about}. The account goes for good, with its sessions and mails, and from the "
                "audit log its addresses. Go on?"
            )
        with reaching(backing.database_url):
            erased = asyncio.run(_erase(backing, number))
    _tell(number, erased)


async def _find(backing: ServiceUrls, who: str) -> tuple[int, str]:
    """The user's id, and who it is that one is about to erase."""
    number = int(who) if who.isascii() and who.isdigit() else None
    if number is not None and number > MAX_ID:
        raise Failure(f"No id is as large as {who}.")
    async with connected(backing) as database, database.transaction() as db:
        if number is None:
            user = await queries.user.get_by_email(db, email=who)
        else:
            user = await queries.user.get(db, number)
    if user is not None:
        role = ", a superuser" if user.is_superuser else ""
        return user.id, f"User {user.id} is {user.email} ({user.username}{role})"
    if number is None:
        raise Failure(f"Nobody has the e-mail {who}. An account that was deleted has its id left.")
    return number, f"User {number} has no account any more, or never had"


async def _erase(backing: ServiceUrls, number: int) -> ErasureResult:
    async with connected(backing) as database:
        try:
            async with database.transaction() as db:
                return await administration.erase(db, number)
        except accounts.UserNotFound as error:
            raise Failure(
                f"There never was a user {number}, or nothing is left of them."
            ) from error


def _tell(number: int, erased: ErasureResult) -> None:
    account = "The account" if erased.account else "What was left"
    out.print(
        f"{account} of user {number} is gone: {erased.sessions} sessions, {erased.mails} mails, "
        f"and the addresses in {erased.events} events. Backups made before still have it."
    )
