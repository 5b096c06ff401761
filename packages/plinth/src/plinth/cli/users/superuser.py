import asyncio
import os
import stat
from pathlib import Path

import typer
from pydantic import ValidationError

from plinth.accounts import queries
from plinth.accounts.schemas.user import UserCreate
from plinth.accounts.services import accounts
from plinth.cli.ask import at_terminal, confirm
from plinth.cli.connecting import connected, reaching
from plinth.cli.failure import Failure
from plinth.cli.output import out, warn
from plinth.config import settings
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.errors import Rejected


def create(
    email: str | None,
    username: str | None,
    full_name: str | None,
    password_env: str | None,
    password_file: Path | None,
) -> None:
    account = _validate(
        email=email or _ask("E-mail", "--email"),
        username=username or _ask("Username", "--username"),
        full_name=full_name,
        password=_find_password(password_env, password_file),
    )
    with running_services(settings) as backing, reaching(backing.database_url):
        number = asyncio.run(_create(backing, account))
    out.print(f"{account.email} is a superuser now (id {number}).", markup=False)


def promote(email: str | None, *, yes: bool) -> None:
    email = email or _ask("E-mail", "--email")
    with running_services(settings) as backing:
        with reaching(backing.database_url):
            number, about = asyncio.run(_find(backing, email))
        if not yes:
            confirm(f"{about}. Whoever knows the password of this account gets all rights. Go on?")
        with reaching(backing.database_url):
            asyncio.run(_promote(backing, number))
    out.print(f"{email} is a superuser now (id {number}); signed out everywhere.", markup=False)


def _ask(what: str, option: str) -> str:
    if not at_terminal():
        raise Failure(f"Nobody is here to be asked for the {what.lower()}: pass {option}.")
    answer: str = typer.prompt(what)
    return answer


def _find_password(variable: str | None, file: Path | None) -> str:
    if variable and file:
        raise Failure("Pass --password-env or --password-file, not both.")
    if variable:
        if not (password := os.environ.get(variable)):
            raise Failure(f"The environment variable {variable} is not set, or empty.")
        return password
    if file:
        return _read_password(file)
    if not at_terminal():
        raise Failure(
            "Nobody is here to be asked for the password: pass --password-env or --password-file."
        )
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt="The same again")
    return answer


def _read_password(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        mode = file.stat().st_mode
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not UTF-8.") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"Others can read {file}: chmod 600 {file}, or remove it now.")
    return text.removesuffix("\n").removesuffix("\r")


def _validate(**fields: str | None) -> UserCreate:
    try:
        return UserCreate.model_validate(fields)
    except ValidationError as error:
        # The messages alone: what was given may be a password.
        problems = [
            f"  {detail['loc'][0]}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_input=False, include_url=False)
        ]
        raise Failure("\n".join(["No superuser was made:", *problems])) from None


async def _create(backing: ServiceUrls, account: UserCreate) -> int:
    async with connected(backing) as database:
        try:
            made = await database.run_with_retries(
                lambda db: accounts.create_superuser(db, account)
            )
        except Rejected as error:
            way_out = ""
            if error.code == "email_taken":
                way_out = ": pass --promote to make that user a superuser; the password stays"
            raise Failure(f"{error.detail}{way_out}. Nothing was changed.") from error
    return made.id


async def _find(backing: ServiceUrls, email: str) -> tuple[int, str]:
    """The user's id, and what one should know before promoting them."""
    async with connected(backing) as database, database.transaction() as db:
        user = await queries.user.get_by_email(db, email=email)
    if user is None:
        raise Failure(f"Nobody has the e-mail {email}: leave out --promote to make a new user.")
    state = "" if user.is_active else ", not active"
    verified = "verified" if user.is_verified else "not verified"
    made = f"{user.created_at:%Y-%m-%d}"
    return user.id, f"{user.email} ({verified}) is {user.username}, made on {made}{state}"


async def _promote(backing: ServiceUrls, user_id: int) -> None:
    async with connected(backing) as database:
        await database.run_with_retries(lambda db: accounts.promote(db, user_id))
