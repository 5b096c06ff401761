"""Add `phone` to users by three files, as docs/how-to/user-columns.md does.

The tests of this module depend on each other and run in order.
"""

import re
import shutil
from pathlib import Path

import pytest

from plinth.testing.databases import TestServices, empty_database
from tests.new.conftest import BIN, Checkout, check
from tests.support.measured import Measured

USES = "packages/plinth/tests/new/user_column_uses.py"
MODEL, SCHEMAS = Path("app/models/user.py"), Path("app/schemas/user.py")
IN_MODEL = {
    "from plinth.accounts import BaseUser\n": (
        "from sqlalchemy import String\nfrom sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from plinth.accounts import BaseUser\n"
    ),
    'user-columns.md."""\n': (
        'user-columns.md."""\n\n    phone: Mapped[str | None] = mapped_column(String(30))\n'
    ),
}
IN_SCHEMAS = {
    "from plinth.accounts.schemas import user as base\n": (
        "from typing import Annotated\n\nfrom pydantic import MISSING, Field\n\n"
        "from plinth.accounts.schemas import user as base\n"
    ),
    "\n\nclass UserCreate(": (
        '\nPhone = Annotated[str, Field(pattern=r"^\\+[0-9 ]{5,28}$", '
        'examples=["+44 20 7946 0018"])]\n'
        "\n\nclass UserCreate("
    ),
    'are ignored."""\n': 'are ignored."""\n\n    phone: Phone | None = None\n',
    'omitted fields stay."""\n': (
        'omitted fields stay."""\n\n    phone: Phone | MISSING | None = MISSING\n'
    ),
    'never the password or e-mail."""\n': (
        'never the password or e-mail."""\n\n    phone: Phone | MISSING | None = MISSING\n'
    ),
    'and superusers may see."""\n': 'and superusers may see."""\n\n    phone: str | None\n',
}
TYPES = """
from typing import assert_type
from uuid import UUID

from app.api.deps import CurrentUser, OptionalUser, Superuser


def use(user: CurrentUser, superuser: Superuser, guest: OptionalUser) -> None:
    assert_type(user.phone, str | None)
    assert_type(superuser.phone, str | None)
    assert_type(user.session_id, UUID)
    assert_type(user.full_name, str | None)
    if guest:
        assert_type(guest.phone, str | None)
    user.phon
"""


@pytest.fixture(scope="module")
def checkout(checkout: Checkout) -> Checkout:
    """The one of this folder, with the column."""
    if "\n    phone:" in (checkout.folder / MODEL).read_text():
        pytest.skip("this project's users have a phone of their own")
    return checkout


def edit(file: Path, replacements: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{file} has another form by now: {old!r}"
        text = text.replace(old, new)
    file.write_text(text)


def test_three_files_are_touched(checkout: Checkout, services: TestServices) -> None:
    edit(checkout.folder / MODEL, IN_MODEL)
    edit(checkout.folder / SCHEMAS, IN_SCHEMAS)
    alembic = BIN / "alembic"
    with empty_database(services, "user_column") as url:
        check(checkout.run(alembic, "upgrade", "head", DATABASE_URL=url))
        write = (alembic, "revision", "--autogenerate", "-m", "users phone")
        check(checkout.run(*write, DATABASE_URL=url))
        check(checkout.run("make", "format"))
        check(checkout.run(alembic, "upgrade", "head", DATABASE_URL=url))
        again = check(checkout.run(*write, DATABASE_URL=url))
    assert "Nothing to write" in again
    touched = check(checkout.run("git", "status", "--short", "-uall")).splitlines()
    assert touched[:2] == [f" M {MODEL}", f" M {SCHEMAS}"]
    assert len(touched) == 3
    assert re.fullmatch(r"\?\? alembic/versions/[\d-]+_\d+_users_phone\.py", touched[2])
    migration = (checkout.folder / touched[2][3:]).read_text()
    assert re.findall(r"op\.\w+\(.*\)", migration) == [
        'op.add_column("users", sa.Column("phone", sa.String(length=30), nullable=True))',
        'op.drop_column("users", "phone")',
    ]


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_the_checks_pass(checkout: Checkout, command: str) -> None:
    program, *arguments = command.split()
    check(checkout.run(BIN / program, *arguments))


@pytest.mark.parametrize("program", ["mypy", "pyright", "basedpyright"])
def test_type_checkers_know_the_column(
    checkout: Checkout, program: str, measured: Measured
) -> None:
    found = BIN / program if (BIN / program).exists() else shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed")
    file = checkout.folder / "app" / "types_of_a_user.py"
    file.write_text(TYPES)
    try:
        done = checkout.run(found, str(file.relative_to(checkout.folder)))
    finally:
        file.unlink()
    errors = [line for line in done.stdout.splitlines() if "error" in line and ".py:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert re.search(r"types_of_a_user\.py:15.*\bphon\b", errors[0])


def test_column_uses_pass_their_tests(checkout: Checkout) -> None:
    check(checkout.pytest("-n", "2", USES))


def test_tests_of_the_application_pass(checkout: Checkout) -> None:
    check(checkout.pytest("-n", "2", "tests"))
