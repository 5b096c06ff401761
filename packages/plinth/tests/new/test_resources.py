"""Four resources of `plinth new`, one after another.

The generated code passes all checks. The generated tests fail if the code is broken.
`plinth remove` restores the checkout.

The tests of this module depend on each other and run in order.
"""

import re
import shlex
import time
from collections.abc import Callable

import pytest

from plinth.testing.databases import TestServices, empty_database
from tests.new.conftest import BIN, CHEAP_RULES, OF_SOURCES, Checkout, check
from tests.support.measured import Measured

COMMANDS = [
    "project name:str:100 budget:decimal:10,2? token:str:40? --owned --unique name",
    (
        "note title:str:200 body:text? due:date? priority:int=0 project:ref:projects --owned "
        "--search title,body --unique title"
    ),
    (
        "category name:str:80 slug:str:40 weight:float=0.5 is_open:bool=true extra:json={} "
        "--public --search name --unique slug"
    ),
    (
        "invoice number:str:30 amount:int due:date? parent:ref:invoices? payer:ref:users? --org "
        "--search number --unique number"
    ),
]
TESTS = [f"tests/api/test_{name}.py" for name in ("projects", "notes", "categories", "invoices")]


def test_resources_are_written(checkout: Checkout, measured: Measured) -> None:
    for command in COMMANDS:
        begun = time.monotonic()
        check(checkout.plinth("new", *shlex.split(command)))
        measured(f"plinth new {command.split()[0]}: {time.monotonic() - begun:.1f} s")
    for command in COMMANDS:
        assert "Nothing to do" in check(checkout.plinth("new", *shlex.split(command)))


@pytest.mark.parametrize(
    "command",
    ["ruff check .", "ruff format --check .", "mypy", "lint-imports"],
)
def test_resources_pass_the_checks(checkout: Checkout, command: str) -> None:
    program, *arguments = command.split()
    check(checkout.run(BIN / program, *arguments))


def test_resources_pass_their_generated_tests(checkout: Checkout) -> None:
    check(checkout.pytest("-n", "2", *TESTS))


def test_resources_pass_the_tests_of_the_project(checkout: Checkout) -> None:
    names = f"projects or notes or categories or invoices or {CHEAP_RULES}"
    check(checkout.pytest("-n", "2", "-k", names, "tests/test_contract.py", *OF_SOURCES))


NOTES = "app/api/v1/notes.py"
CATEGORIES = "app/api/v1/categories.py"
MIGRATION = "alembic/versions/*_notes.py"
LIST = "return show_page(request, await crud.note.get_page(db, params, viewer=user))"
N_PLUS_1 = """rows = await crud.note.get_page(db, params, viewer=user)
    for row in rows.items:
        await crud.project.get(db, row.project_id, viewer=user)
    return show_page(request, rows)"""
FOREIGN_KEY = """            ["project_id", "owner_id"],
            ["projects.id", "projects.owner_id"],"""
RUN_ONCE = "await idempotency.run(NoteOut, lambda: crud.note.create(db, note, by=user))"


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def demoted(function: str) -> Callable[[str], str]:
    """Make that route require a user instead of a superuser."""
    parameter = re.compile(rf"(async def {function}\([^)]*): Superuser")
    imported = "from app.api.deps import CurrentUser\n"
    return lambda text: imported + parameter.sub(r"\1: CurrentUser", text)


# The tests that must fail when BREAKS changes a file.
OWNERS = "test_notes.py::test_others_cannot_see_or_change_it"
SUPERUSERS = "test_categories.py::test_only_superusers_can_write"
VERSIONS = "test_notes.py::test_if_match"
UNIQUE = "test_notes.py::test_unique_title"
SECRET = "test_projects.py::test_token_is_stored_and_never_shown"
PERMISSIONS = "test_invoices.py::test_members_without_the_permission_are_refused"
ORG_KEY = """            ["parent_id", "organization_id"],
            ["invoices.id", "invoices.organization_id"],"""
BREAKS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "all may read": (
        "app/crud/note.py",
        replaced("Note, listing)", "Note, listing, open_to_read=True)"),
        OWNERS,
    ),
    "all may write": (
        "packages/plinth/src/plinth/resources/crud.py",
        replaced("== id, *self._owned_by(by))", "== id)"),
        OWNERS,
    ),
    "anyone POSTs": (CATEGORIES, demoted("create_category"), SUPERUSERS),
    "anyone POSTs many": (CATEGORIES, demoted("create_categories"), SUPERUSERS),
    "anyone PATCHes": (CATEGORIES, demoted("update_category"), SUPERUSERS),
    "anyone DELETEs": (CATEGORIES, demoted("delete_category"), SUPERUSERS),
    "no unique title": (
        MIGRATION,
        replaced('sa.UniqueConstraint("owner_id", "title", name="uq_notes_owner_id_title"),', ""),
        UNIQUE,
    ),
    "no meaning of a conflict": ("app/models/note.py", replaced('"conflict"', '"nothing"'), UNIQUE),
    "unique over all owners": (
        "alembic/versions/*_projects.py",
        replaced('"owner_id", "name", name=', '"name", name='),
        "test_projects.py::test_unique_name",
    ),
    "another's project": (
        MIGRATION,
        replaced(FOREIGN_KEY, '["project_id"], ["projects.id"],'),
        "test_notes.py::test_project_id_must_exist",
    ),
    "PATCH without If-Match": (
        NOTES,
        replaced("changes, by=user, versions=preconditions.versions", "changes, by=user"),
        VERSIONS,
    ),
    "DELETE without If-Match": (
        NOTES,
        replaced("note_id, by=user, versions=preconditions.versions", "note_id, by=user"),
        VERSIONS,
    ),
    "GET without If-None-Match": (
        NOTES,
        replaced("preconditions.respond(", "preconditions.tag("),
        "test_notes.py::test_if_none_match",
    ),
    "POST without Idempotency-Key": (
        NOTES,
        replaced(RUN_ONCE, "await crud.note.create(db, note, by=user)"),
        "test_notes.py::test_idempotency_key",
    ),
    "N + 1": (
        NOTES,
        replaced(LIST, N_PLUS_1),
        "test_notes.py::test_a_longer_list_takes_no_more_statements",
    ),
    "a client sets its version": (
        "app/schemas/note.py",
        replaced('extra="forbid"', 'extra="ignore"'),
        "test_notes.py::test_invalid_values_are_rejected",
    ),
    "a response shows a secret": (
        "app/schemas/project.py",
        replaced("    version: int\n", "    version: int\n    token: str | None = None\n"),
        SECRET,
    ),
    "a list is sorted by a secret": (
        "app/crud/project.py",
        replaced('"created_at", ', '"created_at", "token", '),
        SECRET,
    ),
    "a list is filtered by a secret": (
        "app/crud/project.py",
        replaced('"name": FilterKind', '"token": FilterKind.EQUALS, "name": FilterKind'),
        SECRET,
    ),
    "an invoice of another organization": (
        "alembic/versions/*_invoices.py",
        replaced(ORG_KEY, '["parent_id"], ["invoices.id"],'),
        "test_invoices.py::test_parent_id_must_exist",
    ),
    "no policies": (
        "alembic/versions/*_invoices.py",
        replaced('    op.enable_tenant_isolation("invoices")\n', ""),
        "../test_contract.py::test_tables_of_organizations_are_isolated",
    ),
    "all members read": (
        "app/api/v1/invoices.py",
        replaced(', permission="invoices:read"', ""),
        PERMISSIONS,
    ),
    "all members write": (
        "app/api/v1/invoices.py",
        replaced(', permission="invoices:write"', ""),
        PERMISSIONS,
    ),
    "a search of one column": (
        "app/models/note.py",
        replaced("COALESCE(notes.body, '')", "''"),
        "test_notes.py::test_search_finds_text_anywhere_and_ignores_case",
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_generated_tests_fail_on_broken_code(checkout: Checkout, broken: str) -> None:
    name, change, sees = BREAKS[broken]
    (file,) = checkout.folder.glob(name)
    whole = file.read_text()
    assert change(whole) != whole, "what is to be broken is written otherwise by now"
    file.write_text(change(whole))
    try:
        seen = check(checkout.pytest("-n", "0", "-x", f"tests/api/{sees}"), status=1)
    finally:
        file.write_text(whole)
    assert "1 failed" in seen


def test_alembic_knows_the_tables(checkout: Checkout, services: TestServices) -> None:
    """Otherwise `alembic revision --autogenerate` would drop them."""
    with empty_database(services, "autogenerate") as url:
        check(checkout.run(BIN / "alembic", "upgrade", "head", DATABASE_URL=url))
        found = check(checkout.run(BIN / "alembic", "check", DATABASE_URL=url))
    assert "No new upgrade operations detected." in found


def test_referenced_resource_is_not_removed(checkout: Checkout) -> None:
    refused = checkout.plinth("remove", "project", "--yes")
    assert (refused.returncode, refused.stderr) == (
        1,
        "NAME: notes.project_id refers to projects; remove notes first, or that column.\n",
    )


def test_removing_an_older_resource_writes_a_migration(checkout: Checkout) -> None:
    before = checkout.texts()
    check(checkout.plinth("remove", "note", "--yes"))

    gone = {name for name in before if name not in checkout.texts()}
    assert {name for name in gone if "notes" in name or "note.py" in name} == gone
    check(checkout.run(BIN / "ruff", "check", "."))
    check(checkout.pytest("-n", "2", "-k", CHEAP_RULES, "tests/test_contract.py", *OF_SOURCES))
    (drop,) = checkout.folder.glob("alembic/versions/*_drop_notes.py")
    drop.unlink()
    for name, text in before.items():
        (checkout.folder / name).write_text(text)


def test_removing_all_resources_restores_the_checkout(
    checkout: Checkout, services: TestServices
) -> None:
    with empty_database(services, "resources") as url:
        check(checkout.plinth("db", "upgrade", DATABASE_URL=url))
        newest = checkout.plinth("remove", "invoice", "--yes", DATABASE_URL=url)
        assert newest.returncode == 1
        assert "undo it first by plinth db downgrade" in newest.stderr
        for name in ("invoice", "category", "note", "project"):
            check(checkout.plinth("db", "downgrade", DATABASE_URL=url))
            check(checkout.plinth("remove", name, "--yes", DATABASE_URL=url))
    assert check(checkout.run("git", "status", "--short")) == ""
