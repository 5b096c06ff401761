import asyncio
import os
import stat
from pathlib import Path

import typer
from pydantic import ValidationError

from plinth.accounts import queries
from plinth.accounts.schemas.user import UserCreate
from plinth.accounts.services import accounts
from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure
from plinth.cli.output import at_terminal, confirm, out, warn
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
        email=email or _prompt("Email address", "--email"),
        username=username or _prompt("Username", "--username"),
        full_name=full_name,
        password=_find_password(password_env, password_file),
    )
    with running_services(settings) as services, database_errors(services.database_url):
        user_id = asyncio.run(_create(services, account))
    out.print(f"Created superuser {account.email} (id {user_id}).", markup=False)


def refuse_options(*values: object) -> None:
    """Refuse the options of a new account with --promote, which would have no effect."""
    if any(value is not None for value in values):
        raise Failure(
            "--promote changes no name and no password: pass it without --username, --full-name, "
            "--password-env and --password-file. A lost password is replaced by "
            "POST /auth/password/forgot, or create another superuser without --promote."
        )


def promote(email: str | None, *, yes: bool) -> None:
    email = email or _prompt("Email address", "--email")
    with running_services(settings) as services:
        with database_errors(services.database_url):
            user_id, description = asyncio.run(_find(services, email))
        if not yes:
            confirm(f"{description}. As a superuser, this account gets all permissions. Continue?")
        with database_errors(services.database_url):
            asyncio.run(_promote(services, user_id))
    out.print(
        f"{email} (id {user_id}) is now a superuser and was signed out everywhere.", markup=False
    )


def _prompt(label: str, option: str) -> str:
    if not at_terminal():
        raise Failure(f"Cannot ask for the {label.lower()} without a terminal: pass {option}.")
    answer: str = typer.prompt(label)
    return answer


def _find_password(variable: str | None, file: Path | None) -> str:
    if variable and file:
        raise Failure("Pass --password-env or --password-file, not both.")
    if variable:
        if not (password := os.environ.get(variable)):
            raise Failure(f"The environment variable {variable} is not set or empty.")
        return password
    if file:
        return _read_password(file)
    if not at_terminal():
        raise Failure(
            "Cannot ask for the password without a terminal: pass --password-env or "
            "--password-file."
        )
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Repeat password")
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
        warn(f"Other users can read {file}: run `chmod 600 {file}`, or remove it now.")
    return text.removesuffix("\n").removesuffix("\r")


def _validate(**fields: str | None) -> UserCreate:
    try:
        return UserCreate.model_validate(fields)
    except ValidationError as error:
        # Without the input, which may be a password.
        problems = [
            f"  {detail['loc'][0]}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_input=False, include_url=False)
        ]
        raise Failure("\n".join(["No superuser was created:", *problems])) from None


async def _create(services: ServiceUrls, account: UserCreate) -> int:
    async with connected(services) as database:
        try:
            user = await database.run_with_retries(
                lambda db: accounts.create_superuser(db, account)
            )
        except Rejected as error:
            hint = ""
            if error.code == "email_taken":
                hint = ": pass --promote to make the existing user a superuser"
            raise Failure(f"{error.detail}{hint}. Nothing was changed.") from error
    return user.id


async def _find(services: ServiceUrls, email: str) -> tuple[int, str]:
    """Return the user's id, and a description for the confirmation."""
    async with connected(services) as database, database.transaction() as db:
        user = await queries.user.get_by_email(db, email=email)
    if user is None:
        raise Failure(
            f"No user has the email address {email}: to create one, run the command without "
            "--promote."
        )
    state = "" if user.is_active else ", not active"
    verified = "verified" if user.is_verified else "not verified"
    created = f"{user.created_at:%Y-%m-%d}"
    return user.id, f"{user.email} ({verified}) is {user.username}, created on {created}{state}"


async def _promote(services: ServiceUrls, user_id: int) -> None:
    async with connected(services) as database:
        await database.run_with_retries(lambda db: accounts.promote(db, user_id))
